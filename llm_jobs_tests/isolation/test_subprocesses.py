"""Scripts run from one folder only, without the parent's secrets, and never outlive their time."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import psutil
import pytest

from llm_jobs.isolation.subprocesses import (
    ScriptError,
    ScriptTimeout,
    allowed_script,
    passed_environment,
    run_script,
    run_script_async,
)

ECHO = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() + ' '.join(sys.argv[1:]).encode())"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    return scripts


def script(folder: Path, text: str, name: str = "script.py") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return name


def test_a_script_gets_its_arguments_and_bytes_and_its_print_is_the_result(folder: Path) -> None:
    printed = run_script(script(folder, ECHO), folder=folder, arguments=["a b", "c"], stdin=b"\xff\x00 ")
    assert printed == b"\xff\x00 a b c"


def test_a_script_need_not_read_what_it_is_given(folder: Path) -> None:
    assert run_script(script(folder, "print('done')"), folder=folder, stdin=b"x" * 1_000_000) == b"done\n"


def test_a_program_with_a_first_line_runs_when_it_may_be_executed(folder: Path) -> None:
    name = script(folder, "#!/bin/sh\necho from the shell\n", name="program")
    (folder / name).chmod(0o755)
    assert run_script(name, folder=folder) == b"from the shell\n"


def test_a_script_may_import_its_neighbours_and_leaves_no_compiled_files(folder: Path) -> None:
    script(folder, "word = 'shared'", name="neighbour.py")
    assert run_script(script(folder, "import neighbour; print(neighbour.word)"), folder=folder) == b"shared\n"
    assert sorted(path.name for path in folder.iterdir()) == ["neighbour.py", "script.py"]


def test_a_script_sees_no_variable_that_could_hold_a_secret(folder: Path) -> None:
    given = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "OPENAI_API_KEY": "sk-secret",
        "HOME": "/home/x",
        "PYTHONPATH": "/elsewhere",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    name = script(folder, "import json, os; print(json.dumps(dict(os.environ)))")
    seen = json.loads(run_script(name, folder=folder, environment=given))
    assert seen == {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} == passed_environment(given)


@pytest.mark.parametrize("name", ["../outside.py", "in/../../outside.py", "missing.py", "link.py", "", "sub", "no\0"])
def test_nothing_outside_the_folder_is_run(folder: Path, name: str) -> None:
    outside = folder.parent / "outside.py"
    outside.write_text("print('ran')", encoding="utf-8")
    (folder / "link.py").symlink_to(outside)
    (folder / "sub").mkdir()
    with pytest.raises(ScriptError):
        run_script(name, folder=folder)


def test_an_absolute_path_is_taken_where_it_leads_into_the_folder(folder: Path) -> None:
    name = script(folder, ECHO)
    assert allowed_script(str(folder / name), folder=folder) == (folder / name).resolve()
    with pytest.raises(ScriptError, match="outside"):
        allowed_script("/bin/sh", folder=folder)


def test_a_file_that_may_not_be_executed_is_refused_with_the_remedy(folder: Path) -> None:
    with pytest.raises(ScriptError, match="chmod"):
        run_script(script(folder, "echo", name="plain.sh"), folder=folder)


def test_a_program_that_cannot_start_is_an_error_with_its_reason(folder: Path) -> None:
    name = script(folder, "#!/no/such/interpreter\n", name="broken")
    (folder / name).chmod(0o755)
    with pytest.raises(ScriptError, match="cannot be started"):
        run_script(name, folder=folder)


def test_a_failing_script_tells_the_end_of_its_standard_error(folder: Path) -> None:
    name = script(folder, "import sys; sys.stderr.write('x' * 9000 + 'the reason'); sys.exit(3)")
    with pytest.raises(ScriptError, match=r"status 3: x+the reason") as caught:
        run_script(name, folder=folder)
    assert len(str(caught.value)) < 3000


def test_a_script_that_prints_too_much_is_stopped(folder: Path) -> None:
    name = script(folder, "while True: print('x' * 1000)")
    with pytest.raises(ScriptError, match="more than 10,000 bytes"):
        run_script(name, folder=folder, max_output_bytes=10_000)


FORKING = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""


def test_when_time_is_up_the_script_and_all_that_it_started_are_gone(folder: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ScriptTimeout, match="1 s"):
        run_script(script(folder, FORKING), folder=folder, timeout_s=1)
    assert time.monotonic() - started < 10
    assert all(map(is_gone, (folder / "pids").read_text().split()))


def test_a_cancelled_script_is_killed(folder: Path) -> None:
    async def cancel() -> None:
        work = asyncio.create_task(run_script_async(script(folder, FORKING), folder=folder))
        while not ((folder / "pids").exists() and (folder / "pids").read_text()):
            await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(cancel())
    assert all(map(is_gone, (folder / "pids").read_text().split()))


def test_what_a_script_leaves_running_ends_with_it(folder: Path) -> None:
    text = "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
    text += " stdin=-3, stdout=-3, stderr=-3)\nprint(child.pid)"
    assert is_gone(run_script(script(folder, text), folder=folder).decode())


def test_scripts_run_inside_a_running_event_loop_too(folder: Path) -> None:
    async def inside() -> bytes:
        return run_script(script(folder, "print('inside')"), folder=folder)

    assert asyncio.run(inside()) == b"inside\n"


def is_gone(pid: str) -> bool:
    """Whether the process has ended, or ends within seconds; an entry that nobody has collected yet may remain."""
    for _ in range(500):
        try:
            if psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False
