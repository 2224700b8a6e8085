"""Users' code kept up: what a worker answers, when it is killed, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from llm_jobs.errors import CallTimeout, TransientError
from llm_jobs.isolation.worker_program import Thrown, loaded
from llm_jobs.isolation.workers import MOST_KINDS, WorkerKind, Workers

SOURCE = """
import os, time

def rests():
    time.sleep(600)

def pid():
    return os.getpid()

def spin():
    while True:
        pass

def ends():
    os.kill(os.getpid(), 9)

def large():
    return "x" * (65 * 1024 * 1024)
"""


def kind(folder: Path, function: str, *, more: str = "") -> WorkerKind:
    setup = {"language": "python", "source": SOURCE + more, "path": str(folder / "s.py"), "function": function}
    return WorkerKind(setup=orjson.dumps(setup), folder=folder, memory_mb=2048)


def with_workers(work: Callable[[Workers], Awaitable[Any]], *, at_once: int = 1) -> Any:
    async def run() -> Any:
        workers = Workers(environment={"SECRET_KEY": "s", "PATH": os.environ["PATH"]}, at_once=at_once)
        try:
            return await work(workers)
        finally:
            await workers.aclose()

    return asyncio.run(run())


async def said(workers: Workers, of: WorkerKind, timeout_s: float = 20.0) -> Any:
    return orjson.loads(await workers.ask(of, b'{"inputs":{}}', timeout_s=timeout_s))


def test_one_process_answers_until_the_workers_are_closed(tmp_path: Path) -> None:
    async def work(workers: Workers) -> list[int]:
        return [(await said(workers, kind(tmp_path, "pid")))["value"] for _ in range(3)]

    pids = with_workers(work)
    assert len(set(pids)) == 1
    assert not psutil.pid_exists(pids[0])


def test_as_many_processes_as_are_allowed_work_at_once(tmp_path: Path) -> None:
    async def work(workers: Workers) -> list[Any]:
        return await asyncio.gather(*(said(workers, kind(tmp_path, "pid")) for _ in range(20)))

    assert len({each["value"] for each in with_workers(work, at_once=2)}) == 2
    assert len({each["value"] for each in with_workers(work)}) == 1


def test_what_takes_too_long_is_killed_and_another_takes_its_place(tmp_path: Path) -> None:
    async def work(workers: Workers) -> None:
        with pytest.raises(CallTimeout, match=r"within 0\.2 s and was killed"):
            await said(workers, kind(tmp_path, "spin"), timeout_s=0.2)
        assert (await said(workers, kind(tmp_path, "pid")))["value"]

    with_workers(work)
    assert children() == []


@pytest.mark.parametrize(("function", "reason"), [("ends", "ended by signal 9"), ("large", "more than 64 MiB")])
def test_a_worker_that_dies_or_says_too_much_is_told(tmp_path: Path, function: str, reason: str) -> None:
    async def work(workers: Workers) -> None:
        for _ in range(2):
            with pytest.raises(TransientError, match=reason):
                await said(workers, kind(tmp_path, function))

    with_workers(work)
    assert children() == []


def test_code_that_cannot_be_loaded_says_why_to_each_row(tmp_path: Path) -> None:
    async def work(workers: Workers) -> list[Any]:
        of = kind(tmp_path, "pid", more="\nraise KeyError('not today')\n")
        return [await said(workers, of), await said(workers, of)]

    assert with_workers(work) == [{"error": "KeyError: 'not today' (line 20 of the script)"}] * 2


def test_the_kind_that_was_asked_longest_ago_makes_room(tmp_path: Path) -> None:
    async def work(workers: Workers) -> int:
        for number in range(MOST_KINDS + 3):
            await said(workers, kind(tmp_path, "pid", more=f"# {number}"))
        return len(children())

    assert with_workers(work) == MOST_KINDS


def test_code_that_cannot_be_loaded_costs_the_last_row_no_more_than_the_first() -> None:
    answer = loaded({"language": "none"}, 1)
    depths = []
    for _ in range(3):
        with pytest.raises(Thrown, match="KeyError: 'none'") as caught:
            answer({})
        depths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))
    assert len(set(depths)) == 1


def test_no_room_is_made_of_a_kind_that_is_about_to_be_asked(tmp_path: Path) -> None:
    async def work(workers: Workers) -> None:
        await said(workers, kind(tmp_path, "pid"))
        resting = [
            asyncio.create_task(said(workers, kind(tmp_path, "rests", more=f"# {number}"), timeout_s=600))
            for number in range(MOST_KINDS - 1)
        ]
        while len(children()) < MOST_KINDS:
            await asyncio.sleep(0)
        await asyncio.gather(*(said(workers, kind(tmp_path, "pid", more=f"# new {number}")) for number in range(2)))
        for each in resting:
            each.cancel()
        await asyncio.gather(*resting, return_exceptions=True)

    with_workers(work)
    assert children() == []


def test_a_cancelled_question_leaves_no_process(tmp_path: Path) -> None:
    async def work(workers: Workers) -> None:
        asking = asyncio.create_task(said(workers, kind(tmp_path, "spin")))
        await said(workers, kind(tmp_path, "pid"))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with_workers(work)
    assert children() == []


PARENT = """
import asyncio, sys
from pathlib import Path
from llm_jobs_tests.isolation.test_workers import Workers, kind, said

async def run():
    workers = Workers(environment={})
    print((await said(workers, kind(Path(sys.argv[1]), "pid")))["value"], flush=True)
    await said(workers, kind(Path(sys.argv[1]), sys.argv[2]))
    await asyncio.sleep(60)

asyncio.run(run())
"""


@pytest.mark.parametrize("function", ["pid", "spin"])
def test_workers_end_with_the_process_that_asked_them_however_it_ends(tmp_path: Path, function: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), function], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    others = psutil.Process(parent.pid).children()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([worker, *others], timeout=20)
    assert (alive, worker in gone) == ([], True)


def children() -> list[psutil.Process]:
    """Workers of this process that are alive."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "worker_program.py" in " ".join(each.cmdline())]
