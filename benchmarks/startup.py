"""What it costs to start: `python -m benchmarks.startup` prints whole processes, and the dearest imports of a run.

Medians of nine turns in which every process runs once, compiled files warm. The arrival is the time from the start of
the process until its one request is at the server, which answers at once. On a busy machine read the column that
compares with an empty Python: both wait for the same processors.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.processes import Server, Used, model_server, run

WORK = Path(__file__).parent / ".work" / "startup"
TURNS = 9
SHOWN_IMPORTS = 10
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")


@dataclass(kw_only=True, slots=True)
class Started:
    """One process and what it used, turn by turn."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    sends: bool = False  # its one request, in a folder that is new each turn
    used: list[Used] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)

    def turn(self, server: Server) -> None:
        if self.sends:
            shutil.rmtree(WORK / "job", ignore_errors=True)
        started_s = time.monotonic()
        self.used.append(run(self.command, log=WORK / "said.txt", environment=self.environment))
        if self.sends:
            self.arrivals_s.append(server.arrived_s() - started_s)


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    with model_server(0) as server:
        processes = _processes(server)
        _job(server, WORK / "finished")
        for each in processes:  # what is compiled is kept
            run(each.command, log=WORK / "said.txt", environment=each.environment)
        for _ in range(TURNS):
            for each in processes:
                each.turn(server)
        sys.stdout.write(f"{_table(processes)}\n\n{_imports(server)}\n")
    shutil.rmtree(WORK)


def _processes(server: Server) -> list[Started]:
    command = str(Path(sys.executable).parent / "llm-jobs")
    plain = _environment()
    home = {**plain, "LLM_JOBS_HOME": str(WORK / "finished" / "home")}
    imports = "from llm_jobs import JobExecutor"
    return [
        Started(name="Python, nothing", command=[sys.executable, "-c", "pass"], environment=plain),
        Started(name="llm-jobs --help", command=[command, "--help"], environment=plain),
        Started(name="llm-jobs status", command=[command, "status"], environment=home),
        Started(name="the imports of a run", command=[sys.executable, "-c", imports], environment=plain),
        Started(name="a job of one call", command=_job_command(server, WORK / "job"), environment=plain, sends=True),
    ]


def _environment() -> dict[str, str]:
    """This one, but that what is compiled is kept whatever it says."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _job_command(server: Server, folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.clients.api", server.url, "1", "1", str(folder)]


def _job(server: Server, folder: Path) -> None:
    run(_job_command(server, folder), log=WORK / "said.txt", environment=_environment())


def _table(processes: Sequence[Started]) -> str:
    floor_s = median(used.cpu_s for used in processes[0].used)
    lines = ["| process | CPU, ms | wall, ms | arrival, ms | CPU, × an empty Python |", "|---|--:|--:|--:|--:|"]
    for each in processes:
        cpu_s, wall_s = median(used.cpu_s for used in each.used), median(used.wall_s for used in each.used)
        arrival = f"{median(each.arrivals_s) * 1000:.0f}" if each.arrivals_s else ""
        lines.append(f"| {each.name} | {cpu_s * 1000:.0f} | {wall_s * 1000:.0f} | {arrival} | {cpu_s / floor_s:.1f} |")
    return "\n".join(lines)


def _imports(server: Server) -> str:
    """The packages whose modules take longest to import in a run; the measuring itself makes them some half slower."""
    shutil.rmtree(WORK / "job", ignore_errors=True)
    python, *rest = _job_command(server, WORK / "job")
    run([python, "-X", "importtime", *rest], log=WORK / "said.txt", environment=_environment())
    spent_us: Counter[str] = Counter()
    for own_us, package in _IMPORT.findall((WORK / "said.txt").read_text(encoding="utf-8")):
        spent_us[package] += int(own_us)
    lines = ["| package | own import time, ms |", "|---|--:|"]
    lines += [f"| {package} | {own_us / 1000:.0f} |" for package, own_us in spent_us.most_common(SHOWN_IMPORTS)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
