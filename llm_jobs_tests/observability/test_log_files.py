"""Files of logs: appended to by several processes, set aside each day or when large, and never lost."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llm_jobs.observability.log_files import LogFile

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WRITER = """
import sys
from pathlib import Path
from llm_jobs.observability.log_files import LogFile
name, path, lines, largest = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
file = LogFile(path, rotate="size", largest_bytes=largest)
for number in range(lines):
    file.append(f"{name} {number} " + name * 200)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def at_day(path: Path, day: datetime) -> None:
    """Have the file look as if it had last been written then."""
    os.utime(path, (day.timestamp(), day.timestamp()))


def test_lines_are_appended_and_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "deep" / "job.log"
    for line in ("one", "two\ud800", "Größe"):
        file = LogFile(path)
        file.append(line)
        file.close()
    assert path.read_text(encoding="utf-8") == "one\ntwo\\ud800\nGröße\n"


def test_the_lines_of_a_day_are_set_aside_when_the_next_is_written(tmp_path: Path) -> None:
    now = [NOON]
    file = LogFile(tmp_path / "job.log", rotate="daily", now=lambda: now[0])
    file.append("a")
    at_day(file.path, NOON)
    file.append("b")
    at_day(file.path, NOON)
    now[0] = NOON + timedelta(days=3)
    file.append("c")
    assert names(tmp_path) == ["job.log", "job.log.2026-11-21"]
    assert (tmp_path / "job.log.2026-11-21").read_text() == "a\nb\n"
    assert file.path.read_text() == "c\n"


def test_the_day_is_that_of_utc(tmp_path: Path) -> None:
    late = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
    file = LogFile(tmp_path / "job.log", rotate="daily", now=lambda: late + timedelta(seconds=2))
    file.append("a")
    at_day(file.path, late)
    file.append("b")
    assert names(tmp_path) == ["job.log", "job.log.2026-11-21"]


def test_a_file_is_set_aside_before_it_would_be_too_large(tmp_path: Path) -> None:
    moments = [NOON + timedelta(seconds=number) for number in range(100)]
    file = LogFile(tmp_path / "job.log", rotate="size", largest_bytes=10, now=lambda: moments.pop(0))
    for line in ("four", "four", "four", "more than ten characters", "x"):
        file.append(line)
    aside = [(tmp_path / name).read_text() for name in names(tmp_path)]
    assert sorted(aside) == sorted(["four\nfour\n", "four\n", "more than ten characters\n", "x\n"])


def test_nothing_that_was_set_aside_is_overwritten(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "job.log", rotate="size", largest_bytes=1, now=lambda: NOON)
    for line in "abcd":
        file.append(line)
    assert [(name, (tmp_path / name).read_text()) for name in names(tmp_path)] == [
        ("job.log", "d\n"),
        ("job.log.2026-11-21T120000Z", "a\n"),
        ("job.log.2026-11-21T120000Z.1", "b\n"),
        ("job.log.2026-11-21T120000Z.2", "c\n"),
    ]


def test_a_file_that_somebody_moved_is_not_written_to_any_more(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "job.log")
    file.append("a")
    file.path.rename(tmp_path / "job.log.old")
    file.append("b")
    assert file.path.read_text() == "b\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine\n")
    (tmp_path / "job.log").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic"):
        LogFile(tmp_path / "job.log").append("a")
    assert (tmp_path / "precious").read_text() == "mine\n"


def test_processes_that_write_and_rotate_one_file_lose_and_mix_nothing(tmp_path: Path) -> None:
    lines, largest = 400, 1000
    command = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen([*command, name, str(tmp_path / "job.log"), str(lines), str(largest)]) for name in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = [tmp_path / name for name in names(tmp_path)]
    assert len(files) > 100
    found = [line for file in files for line in file.read_text().splitlines()]
    assert sorted(found) == sorted(f"{name} {number} {name * 200}" for name in "abc" for number in range(lines))
    a_line_of_each = 3 * 220  # each looks before it writes, and not again
    assert [file.name for file in files if file.stat().st_size > largest + a_line_of_each] == []
