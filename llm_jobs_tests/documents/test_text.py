"""Text is read soundly or refused with the line: the same values from YAML and from JSON, nothing guessed."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.text import Source, decode, dotted
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError, Problem

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def problems_of(text: str, *, yaml: bool = True) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        read_yaml("a.yaml", text) if yaml else read_json("a.json", text)
    for problem in caught.value.problems:
        assert problem.file in ("a.yaml", "a.json")
        assert problem.line
        assert problem.rule
        assert problem.remedy
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("12:30", "12:30"),
        ("007", "007"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("1.0.0", "1.0.0"),
        ("-1", -1),
        ("+3", 3),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        (".", "."),
        ("-", None),
    ],
)
def test_plain_words_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    read = read_yaml("a.yaml", f"key: {text}" if text != "-" else "key:").value
    assert read == {"key": value}
    assert isinstance(read, dict)
    assert type(read["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "key", "what"),
    [
        ("a: 1\nb: 2\na: 3", 3, "a", "written twice, first on line 1"),
        ("a:\n  - b: 1\n    b: 2", 3, "a[0].b", "written twice"),
        ("a: 1\nb: .nan", 2, "b", "not a JSON number"),
        ("a: -.inf", 1, "a", "not a JSON number"),
        ("a:\n  - 9007199254740992", 2, "a[0]", "too large to be exact"),
        (f"a: {'9' * 5000}", 1, "a", "too large to be exact"),
        ("a: 1\n---\nb: 2", 2, None, "a second YAML document"),
        ("a: &x [*x]", 1, "a[0]", "inside its own value"),
        ("a: *nothing", 1, "a", "nothing is named so"),
        ("a: !!python/object/apply:os.system [ls]", 1, "a", "the tag"),
        ("a: !!int word", 1, "a", "not of the type !!int"),
        ("a: {}\n<<: {b: 1}", 2, None, "merge keys are not read"),
        ("1: a", 1, None, "a key is not text"),
        ("{a: 1}: 2", 1, None, "stands as a key"),
        ("a: {{ column }}", 1, "a", "stands as a key"),
        ("[" * 101, 1, None, "nested more than 100 deep"),
        ("a: b\n c: d", 2, None, "not YAML"),
        ("a:\n\t- b", 2, None, "not YAML"),
        ("a: \x07", 1, None, "not YAML"),
        ("", 1, None, "the document is empty"),
        ("# nothing", 1, None, "the document is empty"),
    ],
)
def test_unsound_yaml_is_refused_with_its_line_and_key(text: str, line: int, key: str | None, what: str) -> None:
    problem = problems_of(text)[0]
    assert (problem.line, problem.key) == (line, key)
    assert what in problem.what


@pytest.mark.parametrize(
    ("text", "line", "key", "what"),
    [
        ('{"a": 1,\n "a": 2}', 2, "a", "written twice, first on line 1"),
        ('{"a": [{"b": 1, "b": 2}]}', 1, "a[0].b", "written twice"),
        ('{"a":\n NaN}', 2, "a", "NaN is not a JSON number"),
        ("[-Infinity]", 1, "[0]", "-Infinity is not a JSON number"),
        ("[1e999]", 1, "[0]", "1e999 is not a JSON number"),
        ("[9007199254740992]", 1, "[0]", "too large"),
        (f"[{'9' * 5000}]", 1, "[0]", "too large"),
        ('{"a": "\\ud83d"}', 1, "a", "lone surrogate"),
        ("[" * 102, 1, None, "nested more than 100 deep"),
        ('{"a": 1,}', 1, None, "a key in double quotes"),
        ('{"a": 1\n "b": 2}', 2, None, "a comma or }"),
        ('{"a" 1}', 1, None, "a colon"),
        ("[1,]", 1, None, "a value is expected"),
        ("{,}", 1, None, "a key in double quotes"),
        ('{"a": 01}', 1, None, "a comma or }"),
        ('{"a": tru}', 1, None, "a value is expected"),
        ('{"a": "b\nc"}', 1, None, "invalid control character"),
        ("{} {}", 1, None, "text after the end"),
        ("", 1, None, "a value is expected"),
    ],
)
def test_unsound_json_is_refused_with_its_line_and_key(text: str, line: int, key: str | None, what: str) -> None:
    problem = problems_of(text, yaml=False)[0]
    assert (problem.line, problem.key) == (line, key)
    assert what in problem.what


def test_several_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    yaml_lines = [problem.line for problem in problems_of("a: 1\na: 2\nb: .nan\nc: 99999999999999999")]
    json_lines = [problem.line for problem in problems_of('{"a": 1,\n"a": NaN,\n"b": 99999999999999999}', yaml=False)]
    assert yaml_lines == [2, 3, 4]
    assert json_lines == [2, 2, 3]


def test_an_anchor_bomb_is_refused_before_it_expands() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = problems_of("\n".join(lines))
    assert problem.line == 5
    assert "aliases expand to more than 100,000 values" in problem.what


def test_a_modest_alias_repeats_a_value() -> None:
    assert read_yaml("a.yaml", "a: &x [1, {b: 2}]\nc: *x").value == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


def test_what_is_no_utf_8_is_refused_with_its_line() -> None:
    with pytest.raises(DocumentError, match=r"a\.yaml:2: byte 0xe9 .* not UTF-8.*save the file as UTF-8"):
        decode("a.yaml", "a: 1\nb: café".encode("latin-1"), max_bytes=100)


def test_a_document_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(DocumentError, match="101 bytes; at most 100 bytes are read"):
        decode("a.yaml", b"\xff" * 101, max_bytes=100)


def test_a_byte_order_mark_is_no_text() -> None:
    assert decode("a.json", b"\xef\xbb\xbf{}", max_bytes=100) == "{}"


def test_an_error_of_syntax_shows_no_secret() -> None:
    for problem in problems_of('{"api_key": sk-secret}', yaml=False) + problems_of('{"api_key": {}: sk-secret}'):
        assert "secret" not in str(problem)


def test_a_repeated_credential_is_reported_without_its_value() -> None:
    (problem,) = problems_of("api_key: 99999999999999999999")
    assert problem.value is None


DOCUMENT = """job:
  name: x
  prompts:
    - name: a
      text: |
        two
        lines
    - {name: b,
       text: c}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("job",), 1),
        (("job", "name"), 2),
        (("job", "prompts", 0), 4),
        (("job", "prompts", 0, "text"), 5),
        (("job", "prompts", 1), 8),
        (("job", "prompts", 1, "text"), 9),
        (("job", "prompts", 1, "nothing", "here"), 8),
        (("job", "prompts", 7), 3),
    ],
)
def test_every_key_path_knows_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert read_yaml("a.yaml", DOCUMENT).line_of(path) == line


def test_json_lines_are_those_of_the_keys() -> None:
    source = read_json("a.json", '{\n "a": {\n  "b":\n   [1,\n 2]}}')
    lines = [source.line_of(path) for path in [("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1)]]
    assert lines == [2, 3, 4, 5]


@given(JSON)
def test_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert read_json("a.json", text).value == value


LONG_KEY = re.compile(r'"(?:[^"\\]|\\.){500,}":')


@given(JSON)
def test_json_is_yaml_and_means_the_same(value: Any) -> None:
    text = json.dumps({"root": value})
    assume("\\ud" not in text)  # libyaml reads no surrogate pairs in escapes
    assume(not LONG_KEY.search(text))  # YAML 1.2 §7.4.2: a key on one line has at most 1024 characters
    assert read_yaml("a.yaml", text).value == read_json("a.json", text).value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_yaml, read_json):
        with contextlib.suppress(DocumentError):
            assert isinstance(read("a", text), Source)


@pytest.mark.parametrize(
    ("path", "text"),
    [(("job", "prompts", 0, "model"), "job.prompts[0].model"), (("a b", "c"), "['a b'].c"), ((), "")],
)
def test_key_paths_are_written_for_people(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text
