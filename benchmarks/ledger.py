"""What the ledger costs by itself: `python -m benchmarks.ledger`, half a minute.

CPU is the clock of the one thread that works (user and system). An exchange settles as many calls as it wants new
ones, as the caller's do; requests of some 180 bytes, answers of some 480, keys and facts as they are in a job.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from benchmarks.clients.questions import questions
from benchmarks.processes import ROOT
from llm_jobs.clock import WallClock
from llm_jobs.ledger.base import Facts, Ledger, Outcome, Submission, Want
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.ledger.owners import this_process

WORK = Path(__file__).parent / ".work"
BATCHES = (1, 10, 50, 200)
LOOK_UP_BATCH = 500
THINK_S = 0.0002
FACTS = Facts(
    status="succeeded",
    model_answered="bench-1",
    finish_reason="stop",
    prompt_tokens=24,
    completion_tokens=12,
    cached_tokens=0,
    reasoning_tokens=0,
    cost_usd=0.0000123,
    latency_s=0.0512,
)


class Hand:
    """An owner that asks calls and answers them, batch by batch."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name
        self._owner_id = ledger.open_owner(this_process())
        self._job_hash = hashlib.sha256(name.encode()).hexdigest()[:32]
        submission = Submission(
            job_hash=self._job_hash,
            name=name,
            document_name="bench.yaml",
            document=b"-",
            job=b"{}",
            submitter="bench",
            origin="cli",
        )
        [self._submission_id] = ledger.submit([submission])

    def hashes(self, calls: int) -> list[str]:
        return [hashlib.sha256(f"{self._name}-{number}".encode()).hexdigest()[:32] for number in range(calls)]

    def work(self, calls: int, batch: int, *, think_s: float = 0.0) -> tuple[float, float]:
        """Settle `calls`, `batch` in each exchange; returns CPU and wall seconds of the exchanges alone. `think_s`: CPU
        that a call takes elsewhere."""
        hashes = self.hashes(calls)
        bodies = [_bodies(question) for question in questions(batch)]
        cpu_s = wall_s = 0.0
        outcomes: list[Outcome] = []
        for start in range(0, calls + batch, batch):
            wants = [self._want(call_hash) for call_hash in hashes[start : start + batch]]
            cpu_before, wall_before = time.thread_time(), time.perf_counter()
            done = self._ledger.exchange(self._owner_id, outcomes=outcomes, wants=wants)
            cpu_s += time.thread_time() - cpu_before
            wall_s += time.perf_counter() - wall_before
            outcomes = [
                _outcome(call_hash, number, *body)
                for (call_hash, number), body in zip(done.granted.items(), bodies, strict=False)
            ]
            until_s = time.thread_time() + think_s * batch
            while time.thread_time() < until_s:
                pass
        return cpu_s, wall_s

    def _want(self, call_hash: str) -> Want:
        return Want(
            call_hash=call_hash,
            job_hash=self._job_hash,
            submission_id=self._submission_id,
            provider="openai",
            model="openai/bench",
        )


def _bodies(question: str) -> tuple[bytes, bytes]:
    request = {"model": "bench", "messages": [{"role": "user", "content": question}], "temperature": 0.0}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": question[-32:], "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 24,
            "completion_tokens": 12,
            "total_tokens": 36,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
    return orjson.dumps(request), orjson.dumps(answer)


def _outcome(call_hash: str, intent_id: int, request: bytes, answer: bytes) -> Outcome:
    return Outcome(intent_id=intent_id, call_hash=call_hash, facts=FACTS, final=True, request=request, answer=answer)


def exchanges(url: str, calls: int) -> Iterator[str]:
    """CPU and wall time of a call by the size of its batch."""
    ledger = open_ledger(url, clock=WallClock())
    Hand(ledger, "warm").work(2_000, 50)
    for batch in BATCHES:
        some = calls if batch > 1 else calls // 8
        cpu_s, wall_s = Hand(ledger, f"batch-{batch}").work(some, batch)
        yield f"exchange of {batch:>3}: {cpu_s / some * 1e6:6.1f} µs CPU, {wall_s / some * 1e6:7.1f} µs wall per call"
    ledger.close()


def look_ups(url: str, rows: int) -> Iterator[str]:
    """What it costs to find answers again, in batches, where all of them and where none of them is there."""
    ledger = open_ledger(url, clock=WallClock())
    hand = Hand(ledger, "many")
    hand.work(rows, 1_000)
    for what, hashes in (("answered", hand.hashes(rows)), ("unknown", Hand(ledger, "none").hashes(rows))):
        before_mb = _peak_mb()
        cpu_before, wall_before = time.thread_time(), time.perf_counter()
        for start in range(0, rows, LOOK_UP_BATCH):
            ledger.look_up(hashes[start : start + LOOK_UP_BATCH])
        cpu_s, wall_s = time.thread_time() - cpu_before, time.perf_counter() - wall_before
        yield (
            f"look-up of {rows} {what}: {cpu_s / rows * 1e6:5.1f} µs CPU, {wall_s / rows * 1e6:5.1f} µs wall per call,"
            f" peak memory {_peak_mb() - before_mb:+.0f} MB"
        )
    ledger.close()


def together(url: str, processes: int, calls: int, batch: int) -> str:
    """Calls per second of several processes that write to one ledger at once."""
    open_ledger(url, clock=WallClock()).close()
    command = [sys.executable, "-m", "benchmarks.ledger", "--url", url, "--hand", f"{calls},{batch}"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    begun_s = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=120)
    wall_s = time.perf_counter() - begun_s
    each = f"{THINK_S * 1e6:.0f} µs of other work per call"
    return f"{processes} processes, exchanges of {batch}, {each}: {processes * calls / wall_s:,.0f} calls/s"


def hand(url: str, calls: int, batch: int) -> None:
    ledger = open_ledger(url, clock=WallClock())
    worker = Hand(ledger, str(time.time_ns()))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    worker.work(calls, batch, think_s=THINK_S)
    ledger.close()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _fresh(url: str | None) -> Iterator[str]:
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:  # on the disk: in memory it would be no measurement
        yield url or f"sqlite:///{folder}/ledger.db"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--url", help="a fresh database; a SQLite file where none is given")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=100_000, help="answers to look up")
    parser.add_argument("--only", choices=("exchange", "look-up", "together"))
    parser.add_argument("--hand", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.hand:
        hand(options.url, *map(int, options.hand.split(",")))
        return
    if options.only in (None, "exchange"):
        with _fresh(options.url) as url:
            _tell(exchanges(url, options.calls))
    if options.only in (None, "look-up"):
        with _fresh(options.url) as url:
            _tell(look_ups(url, options.rows))
    if options.only in (None, "together"):
        for processes in (1, 2):
            with _fresh(options.url) as url:
                _tell([together(url, processes, options.calls, 10)])


def _tell(lines: Iterator[str] | list[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
