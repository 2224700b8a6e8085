"""Scripts of the user's, run as subprocesses: only from the allowed folder, bounded in time and output.

A script gets an environment without the parent's secrets (an allow-list of names), its own process group, which is
killed whole when time is up, and bytes on its standard input; what it prints is its result. This keeps secrets out of
a script's way and a stuck script out of ours. It is no sandbox: a script runs as the same user and could read
that user's files.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from llm_jobs.errors import DocumentError, Problem

PASSED_VARIABLES = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SYSTEMROOT"})
DEFAULT_OUTPUT_BYTES = 64 * 1024 * 1024
_STDERR_TAIL_BYTES = 2000
_READ_BYTES = 65536
# No PYTHON* variables, no user site, no __pycache__ in the scripts' folder; its own folder stays importable.
_PYTHON = (sys.executable, "-E", "-s", "-B")


class ScriptError(DocumentError):
    """A script was refused or failed; the message holds the end of its standard error."""


class ScriptTimeout(ScriptError):
    """A script did not end in the time allowed and was killed with all that it had started."""


def run_script(
    script: str,
    *,
    folder: Path,
    arguments: Sequence[str] = (),
    stdin: bytes = b"",
    timeout_s: float = 60.0,
    max_output_bytes: int = DEFAULT_OUTPUT_BYTES,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """What `script`, a path inside `folder`, prints on its standard output. Works inside a running event loop too.

    `environment` (the process's own where None) is passed on less everything that is not in `PASSED_VARIABLES`.
    Raises ScriptError where the script is outside `folder`, exits with another status than 0, or prints more than
    `max_output_bytes`, and ScriptTimeout.
    """
    work = run_script_async(
        script,
        folder=folder,
        arguments=arguments,
        stdin=stdin,
        timeout_s=timeout_s,
        max_output_bytes=max_output_bytes,
        environment=environment,
    )
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="script") as pool:
        return pool.submit(asyncio.run, work).result()


async def run_script_async(
    script: str,
    *,
    folder: Path,
    arguments: Sequence[str] = (),
    stdin: bytes = b"",
    timeout_s: float = 60.0,
    max_output_bytes: int = DEFAULT_OUTPUT_BYTES,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """As `run_script`. When the task is cancelled, the script's process group is killed."""
    path = allowed_script(script, folder=folder)
    command = (*_PYTHON, str(path)) if path.suffix == ".py" else (str(path),)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder,
            env=passed_environment(os.environ if environment is None else environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _failed(script, f"the script cannot be started: {error}", "look at its first line (`#!...`)") from None
    try:
        async with asyncio.timeout(timeout_s):
            return await _converse(process, script, stdin, max_output_bytes)
    except TimeoutError:
        problem = Problem(
            what=f"the script did not end within {timeout_s:g} s",
            file=script,
            rule="a script that does not end in time is killed with all that it started",
            remedy="make it quicker, or raise the time allowed for scripts",
        )
        raise ScriptTimeout([problem]) from None
    finally:
        await _end(process)


def allowed_script(script: str, *, folder: Path, executed: bool = True) -> Path:
    """The real path of `script`. Raises ScriptError unless it is a file inside `folder` that may be run; `executed`
    tells that it runs as a program of its own."""
    remedy = f"put the script into {folder} and name it by its path there"
    if ".." in Path(script).parts or "\0" in script:
        raise _failed(script, "the script's path leaves the allowed folder", remedy)
    try:
        root = folder.resolve(strict=True)
        path = (root / script).resolve(strict=True)
    except (OSError, RuntimeError):
        raise _failed(script, f"there is no such script in {folder}", remedy) from None
    if not path.is_relative_to(root):
        raise _failed(script, f"the script lies outside {folder}", remedy)
    if not path.is_file():
        raise _failed(script, "the script is not a file", remedy)
    if executed and path.suffix != ".py" and not os.access(path, os.X_OK):
        raise _failed(script, "the script may not be executed", f"chmod +x {path.name}, or write it in Python (.py)")
    return path


def passed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that scripts see: where programs are, language, time zone. No key, no token."""
    return {name: value for name, value in environment.items() if name in PASSED_VARIABLES or name.startswith("LC_")}


async def _converse(process: Process, script: str, stdin: bytes, max_output_bytes: int) -> bytes:
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(process, stdin))
        complaints = group.create_task(_tail(process.stderr))
        output = group.create_task(_bounded(process, process.stdout, max_output_bytes))
    status = await process.wait()
    printed = output.result()
    if printed is None:
        raise _failed(script, f"the script printed more than {max_output_bytes:,} bytes", "let it print less")
    if status != 0:
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        tail = complaints.result().decode("utf-8", "replace").strip()
        raise _failed(script, f"the script {how}" + (f": {tail}" if tail else ""), "run it by hand to see why")
    return printed


async def _feed(process: Process, stdin: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # a script need not read what it is given
        process.stdin.write(stdin)
        await process.stdin.drain()
    process.stdin.close()


async def _bounded(process: Process, stream: asyncio.StreamReader, limit: int) -> bytes | None:
    """What the script prints; None, and the script is killed, where that is more than `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.read(_READ_BYTES):
        size += len(chunk)
        if size > limit:
            _kill(process)
            return None
        chunks.append(chunk)
    return b"".join(chunks)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    tail = b""
    while chunk := await stream.read(_READ_BYTES):
        tail = (tail + chunk)[-_STDERR_TAIL_BYTES:]
    return tail


async def _end(process: Process) -> None:
    """Kill whatever the script left running in its group, and reap it."""
    _kill(process)
    await asyncio.shield(process.wait())


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _failed(script: str, what: str, remedy: str) -> ScriptError:
    rule = "scripts run only from the allowed folder and must exit with status 0"
    return ScriptError([Problem(what=what, file=script, rule=rule, remedy=remedy)])
