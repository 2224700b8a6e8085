"""Several files as one table, in each format; tabs and xz; objects in a store."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Mapping
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from llm_jobs.documents.job import FileFormat, Input
from llm_jobs.errors import DocumentError, InputChanged
from llm_jobs.sources.many_files import described_files
from llm_jobs.sources.patterns import glob_url, is_pattern
from llm_jobs_tests.servers.s3 import s3_server
from llm_jobs_tests.sources.inputs import frozen_rows, rows_of

ROWS = [{"id": number, "said": f"text {number}"} for number in range(6)]


def files(
    folder: Path, texts: Mapping[str, str | bytes], form: FileFormat, types: Mapping[str, str] | None = None
) -> Input:
    """The input of files with these contents, in the order of their names."""
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    urls = [str(folder / name) for name in sorted(texts)]
    return described_files(urls, pattern=str(folder / "*"), form=form, types=types or {})


def lines(*numbers: int) -> str:
    return "".join(json.dumps(ROWS[number]) + "\n" for number in numbers)


def parquet(folder: Path, name: str, frame: pd.DataFrame) -> str:
    frame.to_parquet(folder / name)
    return str(folder / name)


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_the_rows_of_all_files_come_in_the_order_of_their_names(tmp_path: Path, form: FileFormat) -> None:
    for number, name in enumerate(["a", "b", "c"]):
        frame = pd.DataFrame(ROWS[number * 2 : number * 2 + 2])
        path = tmp_path / f"{name}.{form}"
        if form == "parquet":
            frame.to_parquet(path)
        elif form in ("csv", "tsv"):
            frame.to_csv(path, index=False, sep="," if form == "csv" else "\t")
        else:
            frame.to_json(path, orient="records", lines=form == "jsonl")
    urls = sorted(str(path) for path in tmp_path.iterdir())
    types = {"id": "integer"} if form in ("csv", "tsv") else {}
    source = described_files(urls, pattern=str(tmp_path / "*"), form=form, types=types)
    assert frozen_rows(source, tmp_path) == ROWS
    assert rows_of(source) == ROWS


def test_the_digest_is_of_the_contents_in_their_order_and_not_of_the_names(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    one = files(tmp_path / "one", {"a.jsonl": lines(0), "b.jsonl": lines(1)}, "jsonl")
    renamed = files(tmp_path / "two", {"c.jsonl": lines(0), "d.jsonl": lines(1)}, "jsonl")
    other = files(tmp_path / "three", {"a.jsonl": lines(1), "b.jsonl": lines(0)}, "jsonl")
    assert one.identity() == renamed.identity() != other.identity()


def test_a_part_that_changed_since_submission_is_named(tmp_path: Path) -> None:
    source = files(tmp_path, {"a.jsonl": lines(0), "b.jsonl": lines(1)}, "jsonl")
    (tmp_path / "b.jsonl").write_text(lines(2), encoding="utf-8")
    with pytest.raises(InputChanged, match=r"b\.jsonl: input changed"):
        frozen_rows(source, tmp_path)


def test_a_file_that_appears_later_is_not_part_of_the_job(tmp_path: Path) -> None:
    source = files(tmp_path, {"a.jsonl": lines(0), "b.jsonl": lines(1)}, "jsonl")
    (tmp_path / "c.jsonl").write_text(lines(2), encoding="utf-8")
    assert frozen_rows(source, tmp_path) == ROWS[:2]


def test_columns_in_another_order_and_members_that_some_lack_are_one_table(tmp_path: Path) -> None:
    source = files(tmp_path, {"a.csv": "id,said\n0,text 0\n", "b.csv": "said,id\ntext 1,1\n"}, "csv", {"id": "integer"})
    assert frozen_rows(source, tmp_path) == ROWS[:2]
    (tmp_path / "j").mkdir()
    lacking = files(tmp_path / "j", {"a.jsonl": '{"a": 1}\n', "b.jsonl": '{"b": "x"}\n'}, "jsonl")
    assert frozen_rows(lacking, tmp_path / "j") == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


MISFITS: list[tuple[FileFormat, Mapping[str, str], str]] = [
    ("csv", {"a.csv": "id,said\n0,x\n", "b.csv": "id,told\n1,y\n"}, "b.csv:1: the file has other columns"),
    ("csv", {"a.csv": "id\n0\n", "b.csv": "id\n1,2\n"}, "b.csv:2: the record has 2 fields"),
    ("jsonl", {"a.jsonl": '{"a": 1}\n', "b.jsonl": '{"a": 2}\n{"a": "x"}\n'}, "b.jsonl:2: the column holds an integer"),
    ("jsonl", {"a.jsonl": '{"a": 1}\n', "b.jsonl": '{"a": 2}\n{"a":\n'}, "b.jsonl:2: broken JSON"),
]


@pytest.mark.parametrize(("form", "texts", "told"), MISFITS)
def test_what_does_not_fit_is_refused_with_the_name_of_its_file(
    tmp_path: Path, form: FileFormat, texts: Mapping[str, str], told: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        frozen_rows(files(tmp_path, texts, form), tmp_path)
    assert f"{tmp_path}/{told}" in str(caught.value)


def test_parquet_files_of_other_types_are_refused_by_name_and_missing_columns_are_null(tmp_path: Path) -> None:
    first = parquet(tmp_path, "a.parquet", pd.DataFrame({"id": [1], "when": [pd.Timestamp("2026-01-01")]}))
    second = parquet(tmp_path, "b.parquet", pd.DataFrame({"id": [2]}))
    third = parquet(tmp_path, "c.parquet", pd.DataFrame({"id": ["x"]}))
    joined = described_files([first, second], pattern="*", form="parquet", types={"id": "text"})
    assert frozen_rows(joined, tmp_path) == [{"id": "1", "when": "2026-01-01T00:00:00"}, {"id": "2", "when": None}]
    with pytest.raises(DocumentError, match=r"c\.parquet: the file has other types"):
        frozen_rows(described_files([first, third], pattern="*", form="parquet", types={}), tmp_path / "x")


def test_what_xz_compressed_is_read_and_what_is_torn_is_refused(tmp_path: Path) -> None:
    whole = lzma.compress(lines(0, 1, 2).encode())
    assert frozen_rows(files(tmp_path, {"a.jsonl.xz": whole}, "jsonl"), tmp_path) == ROWS[:3]
    for broken in (whole[:-20], whole[:30] + b"\0\0\0\0" + whole[34:]):
        with pytest.raises(DocumentError, match="cannot be read past line"):
            rows_of(files(tmp_path, {"b.jsonl.xz": broken}, "jsonl"))


PATTERNS = [
    ("a/*.csv", True),
    ("a/?.csv", True),
    ("a/[ab].csv", True),
    ("a.csv", False),
    ("s3://b/*.csv", True),
    ("https://h/a.csv?x=1", False),
]


@pytest.mark.parametrize(("name", "pattern"), PATTERNS)
def test_a_pattern_is_told_by_its_signs(name: str, pattern: bool) -> None:
    assert is_pattern(name) is pattern


def test_objects_behind_a_url_are_found_and_read_as_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        bucket = server.create_bucket("shop")
        for name, number in (("b", 1), ("a", 0)):
            with fsspec.open(f"{bucket}/in/{name}.jsonl.gz", "wb") as stream:
                stream.write(gzip.compress(lines(number).encode()))
        urls = glob_url(f"{bucket}/in/*.jsonl.gz")
        assert urls == [f"{bucket}/in/a.jsonl.gz", f"{bucket}/in/b.jsonl.gz"]
        source = described_files(urls, pattern=f"{bucket}/in/*", form="jsonl", types={})
        assert frozen_rows(source, tmp_path) == ROWS[:2]
