"""Reading rows from the user's own place: every format, compression and kind of input."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import cast

import fsspec
import pytest

from llm_jobs.documents.job import FileFormat, Input
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError
from llm_jobs.sources.digest import digest_file
from llm_jobs.sources.rows import iterate
from llm_jobs_tests.sources.inputs import COMPRESS, Row, batch_input, file_input, rows_of, written

LINE = '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "n": 1.0}}'
CONTENTS: dict[str, tuple[str, list[Row]]] = {
    "csv": ('id,text\n007,"a, ""b""\nc"\n1,\n', [{"id": "007", "text": 'a, "b"\nc'}, {"id": "1", "text": ""}]),
    "jsonl": ('{"id": 7, "x": [1, {"y": null}]}\n\n{"id": 1.5}\n', [{"id": 7, "x": [1, {"y": None}]}, {"id": 1.5}]),
    "json": ('[\n {"id": 7, "x": true},\n {"id": "é"}\n]\n', [{"id": 7, "x": True}, {"id": "é"}]),
}
FORMATS = list(CONTENTS)


def form_of(name: str) -> FileFormat:
    return cast(FileFormat, name)


@pytest.mark.parametrize("form", FORMATS)
def test_values_are_what_the_file_says(tmp_path: Path, form: str) -> None:
    content, rows = CONTENTS[form]
    assert rows_of(written(tmp_path, content, form_of(form))) == rows


@pytest.mark.parametrize("form", FORMATS)
def test_a_byte_order_mark_is_removed(tmp_path: Path, form: str) -> None:
    content, rows = CONTENTS[form]
    assert rows_of(written(tmp_path, b"\xef\xbb\xbf" + content.encode(), form_of(form))) == rows


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("form", FORMATS)
def test_a_compressed_file_is_told_by_its_name(tmp_path: Path, form: str, suffix: str) -> None:
    content, rows = CONTENTS[form]
    path = tmp_path / f"table.{form}{suffix}"
    path.write_bytes(COMPRESS[suffix](content.encode()))
    assert rows_of(file_input(path, form_of(form))) == rows


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_torn_compressed_file_is_refused_and_not_read_in_part(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table.jsonl{suffix}"
    lines = "".join(json.dumps({"id": number, "text": str(number) * 9}) + "\n" for number in range(50_000))
    path.write_bytes(COMPRESS[suffix](lines.encode())[:-20])
    with pytest.raises(DocumentError, match="cannot be read past line"):
        rows_of(file_input(path, "jsonl"))


def test_a_url_of_any_file_system_is_read(tmp_path: Path) -> None:
    content, rows = CONTENTS["jsonl"]
    with fsspec.open("memory://inputs/table.jsonl", "wb") as stream:
        stream.write(content.encode())
    source = Input(kind="file", digest="", url="memory://inputs/table.jsonl", format="jsonl")
    assert rows_of(source) == rows
    path = tmp_path / "same"
    path.write_text(content)
    assert digest_file("memory://inputs/table.jsonl") == digest_file(str(path))


def test_batches_have_the_size_asked_for(tmp_path: Path) -> None:
    source = written(tmp_path, "".join(f'{{"id": {number}}}\n' for number in range(10)), "jsonl")
    assert [len(batch) for batch in iterate(source, batch_rows=4)] == [4, 4, 2]


def test_inline_rows_are_given_as_they_are() -> None:
    source = Input(kind="inline", digest="", rows=({"id": 1}, {"id": None, "x": [1, "two"]}))
    assert rows_of(source) == [{"id": 1}, {"id": None, "x": [1, "two"]}]


def test_a_batch_file_has_its_four_members(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_text(LINE + "\n")
    assert rows_of(batch_input(path)) == [json.loads(LINE)]


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_reading_begins_before_the_file_ends(tmp_path: Path, form: str) -> None:
    first = '{"text": "' + "x" * 1000 + '"}'
    content = "\n".join([first] * 2000) if form == "jsonl" else "[" + ",\n".join([first] * 2000)
    source = written(tmp_path, content + "\n{broken", form_of(form))
    assert [len(batch) for batch in islice(iterate(source, batch_rows=100), 10)] == [100] * 10


def test_a_row_longer_than_any_buffer_is_read(tmp_path: Path) -> None:
    long = "é" * 3_000_000
    source = written(tmp_path, json.dumps([{"text": long}, {"text": "short"}], ensure_ascii=False), "json")
    assert [len(str(row["text"])) for row in rows_of(source)] == [3_000_000, 5]
    assert rows_of(written(tmp_path, f"text\n{long}\n", "csv")) == [{"text": long}]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "-007", -7),
        ("integer", "", None),
        ("number", "1e3", 1000.0),
        ("number", "5", 5.0),
        ("number", "", None),
        ("boolean", "TRUE", True),
        ("boolean", "false", False),
        ("boolean", "", None),
        ("text", "007", "007"),
        ("text", "", ""),
    ],
)
def test_a_declared_type_converts_text(tmp_path: Path, kind: str, text: str, value: JsonValue) -> None:
    rows = rows_of(written(tmp_path, f'id,x\n1,"{text}"\n', "csv", types={"x": kind}))
    assert rows == [{"id": "1", "x": value}]
    assert type(rows[0]["x"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("text", "5", "5"), ("text", "[1, 2.0]", "[1, 2.0]"), ("number", "5", 5.0), ("integer", '"5"', 5)],
)
def test_a_declared_type_converts_json_values(tmp_path: Path, kind: str, text: str, value: JsonValue) -> None:
    assert rows_of(written(tmp_path, f'{{"x": {text}}}\n', "jsonl", types={"x": kind})) == [{"x": value}]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.0"),
        ("integer", "1_000"),
        ("integer", " 1"),
        ("integer", "9223372036854775808"),
        ("number", "nan"),
        ("number", "inf"),
        ("number", "1e999"),
        ("number", "1,5"),
        ("boolean", "yes"),
    ],
)
def test_a_value_that_is_not_of_its_declared_type_is_named_by_line_and_column(
    tmp_path: Path, kind: str, text: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        rows_of(written(tmp_path, f'id,x\n1,\n"2\n","{text}"\n', "csv", types={"x": kind}))
    problem = caught.value.problems[0]
    assert (problem.line, problem.key, problem.value) == (3, "x", repr(text))
