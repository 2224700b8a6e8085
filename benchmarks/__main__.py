"""`python -m benchmarks`: measure, print the table, keep it as JSON and as a picture under results/."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.again import Again, measure_again
from benchmarks.contenders import BARE, DAGSTER, OTHERS, OURS, Client, NotInstalled, python_of
from benchmarks.processes import ROOT, ClientFailed, Server, model_server
from benchmarks.report import again_line, facts, table
from benchmarks.speed import Plan, measure

HERE = Path(__file__).parent
WORK = HERE / ".work"  # on the disk of the repository: a ledger in memory would be no measurement


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    plan = Plan(
        calls=options.calls,
        peer_calls=options.peer_calls,
        rounds=options.rounds,
        concurrency=options.concurrency,
        latency_s=options.latency_ms / 1000,
    )
    clients: list[Client] = [BARE, OURS, DAGSTER, *(() if options.no_peers else OTHERS)]
    with model_server(plan.latency_s) as server:
        measured = measure(clients, plan, server=server, work=WORK, tell=_tell)
        again = None if options.no_again else _again(server, options.again_calls)
    now = datetime.now(UTC)
    result = facts(measured, again, plan, date=now.date().isoformat())
    sys.stdout.write(f"\n{table(measured, plan)}\n\n" + (f"{again_line(again)}\n\n" if again else ""))
    _keep(result, f"{now:%Y-%m-%d-%H%M}")


def _again(server: Server, calls: int) -> Again | None:
    try:
        return measure_again(server=server, calls=calls, times=5, work=WORK, tell=_tell)
    except ClientFailed as error:
        _tell(f"the finished job was not measured: {error}")
        return None


def _keep(result: dict[str, object], name: str) -> None:
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _tell(f"kept {path.relative_to(ROOT)}")
    try:
        python = python_of("plot", folder=WORK / "environments")
    except NotInstalled as error:
        _tell(f"no picture: {error}")
        return
    picture = path.with_suffix(".png")
    subprocess.run([python, "-m", "benchmarks.plot", str(path), str(picture)], cwd=ROOT, check=True)
    _tell(f"kept {picture.relative_to(ROOT)}")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _two(text: str) -> tuple[int, int]:
    few, many = map(int, text.split(","))
    return few, many


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--calls", type=_two, default=(2_000, 20_000), metavar="FEW,MANY")
    parser.add_argument("--peer-calls", type=_two, default=(1_000, 4_000), metavar="FEW,MANY")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--no-peers", action="store_true", help="the bare loop and this project alone")
    parser.add_argument("--no-again", action="store_true", help="leave the finished job out")
    parser.add_argument("--again-calls", type=int, default=2_000, help="calls of the job that is run again")
    return parser


if __name__ == "__main__":
    main()
