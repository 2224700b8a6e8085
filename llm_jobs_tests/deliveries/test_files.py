"""Deliveries to files: a copy in the user's own place, where nothing is ever overwritten."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from llm_jobs.deliveries.files import deliver
from llm_jobs.deliveries.places import destination
from llm_jobs.deliveries.subject import Delivered, Subject
from llm_jobs.documents.destinations import Compression, FileForm, FileOutput
from llm_jobs.errors import DocumentError, ImmutableError
from llm_jobs_tests.deliveries.results import JOB, stored

SUBJECT = Subject(
    name="reviews/de", job_hash=JOB, epoch_ns=17, document="reviews", link="jobs/1_x.yaml", answer="answer"
)
ROWS: Sequence[dict[str, object]] = [{"id": 1, "answer": "one"}, {"id": 2, "answer": None}]


def to(path: str, form: FileForm = "jsonl") -> FileOutput:
    return FileOutput(path=path, format=form)


def delivered(folder: Path, output: FileOutput, rows: Sequence[dict[str, object]] = ROWS) -> Delivered:
    return deliver(stored(rows), output, SUBJECT, base=folder, roots=[folder])


def test_a_delivery_is_a_whole_file_with_its_digest(tmp_path: Path) -> None:
    done = delivered(tmp_path, to("out/table.jsonl"))
    content = (tmp_path / "out" / "table.jsonl").read_bytes()
    assert [json.loads(line) for line in content.splitlines()] == ROWS
    assert done == Delivered(
        destination=str(tmp_path / "out" / "table.jsonl"),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        rows=2,
        is_new=True,
    )
    assert os.access(done.destination, os.W_OK)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["table.jsonl"]


def test_a_parquet_delivery_has_the_bytes_of_the_result(tmp_path: Path) -> None:
    done = delivered(tmp_path, to("table.parquet", "parquet"))
    assert Path(done.destination).read_bytes() == stored(ROWS).getvalue()


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "parquet", "pair"])
def test_a_delivery_that_is_there_already_is_left_as_it_is(tmp_path: Path, form: FileForm) -> None:
    first = delivered(tmp_path, to("table", form))
    inode = Path(first.destination).stat().st_ino
    again = delivered(tmp_path, to("table", form))
    assert (again.is_new, again.sha256, Path(again.destination).stat().st_ino) == (False, first.sha256, inode)
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


def test_a_placeholder_may_be_written_as_templates_are(tmp_path: Path) -> None:
    output = to("{{ epoch_ns }}_{{document}}-{{ date }}-${x}.json", "json")
    place = destination(output, SUBJECT, base=tmp_path, roots=[tmp_path])
    assert place.name == "17_reviews-1970-01-01-${x}.json"


def test_an_unknown_placeholder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="known are name, job_hash, epoch") as caught:
        delivered(tmp_path, to("{day}.csv", "csv"))
    assert caught.value.problems[0].value == "{day}.csv"


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


@pytest.mark.parametrize("attempts", [2, 8])
def test_one_result_that_is_delivered_by_several_at_once_is_there_once(tmp_path: Path, attempts: int) -> None:
    with ThreadPoolExecutor(attempts) as pool:
        done = list(pool.map(lambda _: delivered(tmp_path, to("table.jsonl")), range(attempts)))
    assert len({each.sha256 for each in done}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["table.jsonl"]


@pytest.mark.parametrize(
    ("compression", "opened"),
    [
        ("gzip", gzip.decompress),
        ("bz2", bz2.decompress),
        ("xz", lzma.decompress),
        ("zstd", lambda content: zstandard.ZstdDecompressor().decompressobj().decompress(content)),
    ],
)
def test_a_compressed_delivery_is_the_same_at_every_repetition(
    tmp_path: Path, compression: Compression, opened: Callable[[bytes], bytes]
) -> None:
    output = replace(to("table.jsonl.x"), compression=compression)
    first, again = delivered(tmp_path, output), delivered(tmp_path, output)
    assert (first.is_new, again.is_new, first.sha256) == (True, False, again.sha256)
    lines = opened(Path(first.destination).read_bytes()).splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_tabs_separate_and_are_quoted(tmp_path: Path) -> None:
    rows: Sequence[dict[str, object]] = [{"a": "x\ty", "b": 'say "no"', "c": "1, 2"}]
    delivered(tmp_path, to("table.tsv", "tsv"), rows)
    assert (tmp_path / "table.tsv").read_text() == 'a\tb\tc\n"x\ty"\t"say ""no"""\t1, 2\n'


@pytest.mark.parametrize(
    ("rows", "result"),
    [
        ([{"id": 1, "answer": "blü", "llm_status": "succeeded"}], "blü"),
        ([{"id": 1, "answer": None, "llm_status": "failed"}], None),
        ([{"id": 1, "other": "x", "llm_status": "succeeded"}], [{"id": 1, "other": "x"}]),
        (ROWS, [{"id": 1, "answer": "one"}, {"id": 2, "answer": None}]),
    ],
)
def test_a_pair_is_the_link_to_the_job_and_its_result(
    tmp_path: Path, rows: Sequence[dict[str, object]], result: object
) -> None:
    delivered(tmp_path, to("{{ epoch_ns }}_{{ document }}.json", "pair"), rows)
    pair = json.loads((tmp_path / "17_reviews.json").read_text())
    assert pair == {"job": "jobs/1_x.yaml", "result": result}
