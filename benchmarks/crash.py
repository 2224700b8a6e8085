"""How many answers a kill costs: `python -m benchmarks.crash`.

A child runs 2,000 rows at 100 in flight against 50 ms (2,000 calls/s at most) and is killed at seeded events; another
finishes. Per kill: the calls that the server was asked twice, and how many of those it had answered before the kill.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from llm_jobs_tests.end_to_end.documents import write_document
from llm_jobs_tests.end_to_end.processes import child_environment, run_child, start_child
from llm_jobs_tests.servers.replay import replay_server

ROWS = 2000
CONCURRENCY = 100
LATENCY_S = 0.05
KILLS = 24
EVENTS = ("CallIntended", "CallSent", "CallAnswered", "CallRecorded")


def main() -> None:
    random = Random(5)
    lost = []
    for number in range(KILLS):
        point = f"{EVENTS[number % len(EVENTS)]}:{random.randint(1, ROWS)}"
        rate, answered, in_flight = killed_at(point)
        lost.append(answered)
        sys.stdout.write(
            f"{point:20} {rate:5.0f} calls/s: {answered:3} answered and asked again, {in_flight:3} in flight\n"
        )
    sys.stdout.write(
        f"answered and asked again: median {statistics.median(lost)}, most {max(lost)}, of {KILLS} kills\n"
    )


def killed_at(point: str) -> tuple[float, int, int]:
    """Calls per second before the kill; calls that came twice: answered before the kill, not answered yet."""
    with TemporaryDirectory(dir=Path.cwd()) as folder, replay_server(latency_s=LATENCY_S) as server:
        questions = [f"question number {number}" for number in range(ROWS)]
        path = write_document(Path(folder), "job", name="kill", model="openai/replayed", questions=questions)
        environment, options = child_environment(server.openai_url), ["--concurrency", str(CONCURRENCY)]
        killed = start_child(
            Path(folder) / "home", [path], environment=environment, options=[*options, "--kill", point]
        )
        killed_ns = int(killed.communicate()[1])
        before = server.stats()["log"]
        run_child(Path(folder) / "home", [path], environment=environment, options=options)
        times: dict[str, list[int]] = defaultdict(list)
        for _, answered_ns, body_hash, _ in server.stats()["log"]:
            times[body_hash].append(answered_ns)
    again = [min(answered) < killed_ns for answered in times.values() if len(answered) > 1]
    seconds = (before[-1][0] - before[0][0]) / 1e9 if before else 0.0  # killed before the first answer
    return len(before) / seconds if seconds else 0.0, sum(again), len(again) - sum(again)


if __name__ == "__main__":
    main()
