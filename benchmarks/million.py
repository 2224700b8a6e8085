"""Size: a job of a million rows, and the same rows plus one as a new job.

    python -m benchmarks.million                      # 100,000 and 1,000,000 rows: some 8 minutes
    python -m benchmarks.million --rows 20000,100000

The server answers at once. Per size, each run a process of its own: the rows, then the rows and one more (one call),
each with wall time and peak memory; then the smallest size by two processes on one ledger, each with half of the rows
for itself, against one process with all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.clients.document import write_document
from benchmarks.processes import ROOT, Server, Used, model_server, run

CONCURRENCY = 100


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million")
    parser.add_argument("--rows", default="100000,1000000")
    sizes = [int(size) for size in parser.parse_args().rows.split(",")]
    with model_server(0.0) as server, TemporaryDirectory(dir=ROOT) as folder:
        for rows in sizes:
            _tell_size(server, Path(folder) / str(rows), rows)
        _tell_two(server, Path(folder) / "two", sizes[0])


def _tell_size(server: Server, folder: Path, rows: int) -> None:
    for what, asked in ((f"{rows:,} rows", rows), (f"{rows:,} rows and one more", rows + 1)):
        before = server.answered()
        used = _ours(server, folder, [asked])
        _tell(what, used, asked, server.answered() - before)


def _tell_two(server: Server, folder: Path, rows: int) -> None:
    one = _ours(server, folder / "one", [rows])
    half = rows // 2
    with ThreadPoolExecutor(2) as both:
        used = list(both.map(lambda start: _ours(server, folder / "both", [half], start=start), (0, half)))
    slowest = max(each.wall_s for each in used)
    sys.stdout.write(
        f"two processes on one ledger: {rows / slowest:,.0f} rows/s, one: {rows / one.wall_s:,.0f} rows/s, "
        f"{one.wall_s / slowest:.2f} x (start-up included)\n"
    )


def _ours(server: Server, folder: Path, calls: Sequence[int], *, start: int = 0) -> Used:
    """One process that runs a job of so many rows in the home of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    document = write_document(folder / f"{start}-{calls[0]}", calls=calls[0], concurrency=CONCURRENCY, start=start)
    command = [sys.executable, "-m", "benchmarks.clients.run_document", server.url, str(document), str(folder)]
    return run(command, log=folder / "log.txt", limit_s=3600)


def _tell(what: str, used: Used, rows: int, calls: int) -> None:
    sys.stdout.write(
        f"{what}: {calls:,} calls, {used.wall_s:.1f} s, {rows / used.wall_s:,.0f} rows/s, "
        f"{used.cpu_s / rows * 1e6:.0f} µs of CPU per row, peak {used.peak_mb:.0f} MB\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
