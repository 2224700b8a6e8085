"""Deliveries to files: a copy in the user's own place, where nothing is ever overwritten."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_jobs.deliveries.files import Delivered, Subject, deliver, destination
from llm_jobs.documents.job import Output
from llm_jobs.errors import DocumentError, ImmutableError

JOB = "0123456789abcdef0123456789abcdef"
SUBJECT = Subject(name="reviews/de", job_hash=JOB, epoch_ns=17)
ROWS: Sequence[dict[str, object]] = [{"id": 1, "answer": "one"}, {"id": 2, "answer": None}]
Format = Literal["csv", "json", "jsonl", "parquet"]


def result_of(rows: Sequence[dict[str, object]]) -> io.BytesIO:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), stream)
    stream.seek(0)
    return stream


def to(path: str, form: Format = "jsonl") -> Output:
    return Output(destination="file", path=path, format=form)


def delivered(folder: Path, output: Output, rows: Sequence[dict[str, object]] = ROWS) -> Delivered:
    return deliver(result_of(rows), output, SUBJECT, base=folder, roots=[folder])


def test_a_delivery_is_a_whole_file_with_its_digest(tmp_path: Path) -> None:
    done = delivered(tmp_path, to("out/table.jsonl"))
    content = (tmp_path / "out" / "table.jsonl").read_bytes()
    assert [json.loads(line) for line in content.splitlines()] == ROWS
    assert done == Delivered(
        path=tmp_path / "out" / "table.jsonl",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        rows=2,
        is_new=True,
    )
    assert os.access(done.path, os.W_OK)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["table.jsonl"]


def test_a_parquet_delivery_has_the_bytes_of_the_result(tmp_path: Path) -> None:
    done = delivered(tmp_path, to("table.parquet", "parquet"))
    assert done.path.read_bytes() == result_of(ROWS).getvalue()


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_a_delivery_that_is_there_already_is_left_as_it_is(tmp_path: Path, form: Format) -> None:
    first = delivered(tmp_path, to("table", form))
    inode = first.path.stat().st_ino
    again = delivered(tmp_path, to("table", form))
    assert (again.is_new, again.sha256, again.path.stat().st_ino) == (False, first.sha256, inode)
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_a_file_with_other_content_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(ImmutableError, match="not overwritten; move that file"):
        delivered(tmp_path, to("table.csv", "csv"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("table.csv", "mine")]


def test_of_two_results_that_race_for_a_place_one_is_delivered(tmp_path: Path) -> None:
    def attempt(number: int) -> str | None:
        try:
            return delivered(tmp_path, to("table.jsonl"), [{"id": number}]).sha256
        except ImmutableError:
            return None

    with ThreadPoolExecutor(8) as pool:
        digests = [digest for digest in pool.map(attempt, range(8)) if digest is not None]
    assert digests == [hashlib.sha256((tmp_path / "table.jsonl").read_bytes()).hexdigest()]


def test_placeholders_are_the_result_s_own(tmp_path: Path) -> None:
    place = destination(to("{name}-{epoch}/{job_hash}.csv", "csv"), SUBJECT, base=tmp_path, roots=[tmp_path])
    assert place == tmp_path / "reviews_de-17" / f"{JOB}.csv"


def test_an_unknown_placeholder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="known are name, job_hash, epoch") as caught:
        delivered(tmp_path, to("{date}.csv", "csv"))
    assert caught.value.problems[0].value == "{date}.csv"


@pytest.mark.parametrize("path", ["../out.csv", "/etc/out.csv", "link/out.csv", "inside/../../out.csv"])
def test_a_place_outside_the_allowed_folders_is_refused(tmp_path: Path, path: str) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(tmp_path)
    with pytest.raises(DocumentError, match="outside the allowed folders"):
        delivered(allowed, to(path, "csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["allowed"]


def test_a_folder_is_no_place_for_a_delivery(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="a delivery is a file"):
        delivered(tmp_path, to("."))
