"""Prompts are found by name and version; what is missing is answered with what there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.steps import Message
from llm_jobs.errors import DocumentError, NotFound
from llm_jobs.prompts.library import LibraryPrompt, PromptLibrary
from llm_jobs.prompts.versions import Version, choose

EXISTING = ["0.0.3", "0.0.4", "0.2.0", "0.2.9", "0.3.0", "1.0.0", "1.2.3", "1.2.10", "1.10.0", "2.0.0", "2.1.0-rc.1"]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (None, "2.0.0"),
        ("latest", "2.0.0"),
        ("1.2.3", "1.2.3"),
        ("2.1.0-rc.1", "2.1.0-rc.1"),
        ("9.9.9", None),
        ("^1.2.3", "1.10.0"),
        ("^1.2", "1.10.0"),
        ("^1", "1.10.0"),
        ("^0.2.1", "0.2.9"),
        ("^0.2", "0.2.9"),
        ("^0.0.3", "0.0.3"),
        ("^0.0", "0.0.4"),
        ("^0", "0.3.0"),
        ("^1.11", None),
        ("^2.0.1", None),
        ("~1.2.3", "1.2.10"),
        ("~1.2", "1.2.10"),
        ("~1", "1.10.0"),
        ("~0.2", "0.2.9"),
        ("~3", None),
    ],
)
def test_a_range_chooses_the_highest_version_that_it_allows(wanted: str | None, chosen: str | None) -> None:
    found = choose(wanted, map(Version.parse, EXISTING))
    assert (None if found is None else str(found)) == chosen


@pytest.mark.parametrize("wanted", ["", "1", "1.2", "v1.2.3", ">=1.0.0", "^", "^1.2.3.4", "~01.2", "1.2.3+build", "x"])
def test_what_is_no_version_is_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        choose(wanted, [])


def test_versions_are_ordered_as_semver_org_orders_them() -> None:
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.9",
        "1.0.10",
    ]
    assert [str(version) for version in sorted(map(Version.parse, reversed(ordered)))] == ordered


@given(st.tuples(*[st.integers(0, 99)] * 3))
def test_a_version_is_written_as_it_was_read(numbers: tuple[int, int, int]) -> None:
    text = ".".join(map(str, numbers))
    assert str(Version.parse(text)) == text


@pytest.fixture
def library(tmp_path: Path) -> PromptLibrary:
    write(tmp_path / "prompts" / "sentiment" / "1.0.0.yaml", "text: Is {{ review }} positive?\n")
    write(tmp_path / "prompts" / "sentiment" / "1.1.0.yaml", FULL)
    write(tmp_path / "prompts" / "summary" / "2.0.0.json", '{"messages": [{"role": "user", "content": "{{ text }}"}]}')
    write(tmp_path / "prompts" / "summary" / "notes.txt", "not a prompt")
    write(tmp_path / "prompts" / "empty" / "README.md", "no version yet")
    write(tmp_path / "secret" / "1.0.0.yaml", "text: outside\n")
    return PromptLibrary(tmp_path / "prompts")


FULL = """\
description: With the reasons.
model: openai/gpt-4.1-mini
parameters: {temperature: 0, tone: dry}
schema: {type: object}
messages:
  - {role: system, content: Be {{ tone }}.}
  - {role: user, content: '{{ review }} costs $${PRICE}'}
""".replace("Be {{ tone }}.", "'Be {{ tone }}.'")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_names_and_versions_are_those_of_the_files(library: PromptLibrary) -> None:
    assert library.names() == ["sentiment", "summary"]
    assert library.versions("sentiment") == ["1.0.0", "1.1.0"]


def test_a_prompt_holds_what_its_file_says(library: PromptLibrary) -> None:
    assert library.get("sentiment") == LibraryPrompt(
        name="sentiment",
        version="1.1.0",
        messages=(
            Message(role="system", content="Be {{ tone }}."),
            Message(role="user", content="{{ review }} costs ${PRICE}"),
        ),
        model="openai/gpt-4.1-mini",
        parameters={"temperature": 0, "tone": "dry"},
        schema={"type": "object"},
        description="With the reasons.",
    )
    assert library.get("sentiment", "~1.0").messages == (Message(role="user", content="Is {{ review }} positive?"),)
    assert library.get("summary", "2.0.0").messages == (Message(role="user", content="{{ text }}"),)


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("sentimnt", None, "no prompt 'sentimnt'.*there are sentiment, summary; did you mean 'sentiment'?"),
        ("zzz", None, "no prompt 'zzz'.*add it as <name>/<version>.yaml"),
        ("empty", None, "no prompt 'empty'"),
        ("sentiment", "^2", "has no version \\^2; there are 1.0.0, 1.1.0"),
        ("sentiment", "1", "'1' is no version; there are 1.0.0, 1.1.0; write 1.2.3"),
        ("../secret", None, "no prompt '../secret'"),
        ("sentiment/../../secret", None, "no prompt"),
        ("/etc", None, "no prompt '/etc'"),
        ("..", None, "no prompt '..'"),
        (".", None, "no prompt '.'"),
        ("", None, "no prompt ''"),
        ("a\0b", None, "no prompt"),
    ],
)
def test_what_is_missing_is_answered_with_what_there_is(
    library: PromptLibrary, name: str, version: str | None, message: str
) -> None:
    with pytest.raises(NotFound, match=message):
        library.get(name, version)


def test_a_folder_that_is_not_there_is_an_empty_library(tmp_path: Path) -> None:
    library = PromptLibrary(tmp_path / "nothing")
    assert library.names() == []
    with pytest.raises(NotFound, match="there are none"):
        library.get("a")


@pytest.mark.parametrize(
    ("text", "line", "key", "remedy"),
    [
        ("txt: Hello", 1, "txt", "did you mean 'text'?"),
        ("description: x", 1, None, "write one of the two"),
        ("text: a\nmessages: [{role: user, content: b}]", 2, "messages", "write one of the two"),
        ("text: a ${HOME}", 1, "text", "write $${HOME}"),
        ("text: a\nparameters: {api_key: sk-1}", 2, "parameters.api_key", "api_key: ${NAME}"),
        ("text: a\ntext: b", 2, "text", "remove or rename"),
    ],
)
def test_a_file_that_is_no_prompt_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, key: str | None, remedy: str
) -> None:
    path = tmp_path / "a" / "1.0.0.yaml"
    write(path, text)
    with pytest.raises(DocumentError) as caught:
        PromptLibrary(tmp_path).get("a")
    problem = next(problem for problem in caught.value.problems if problem.key == key)
    assert (problem.file, problem.line) == (str(path), line)
    assert problem.remedy is not None
    assert remedy in problem.remedy


def test_two_files_of_one_version_are_refused(tmp_path: Path) -> None:
    for suffix in ("yaml", "json"):
        write(tmp_path / "a" / f"1.0.0.{suffix}", '{"text": "x"}')
    with pytest.raises(DocumentError, match="hold the same version"):
        PromptLibrary(tmp_path).get("a")
