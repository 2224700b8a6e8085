"""What becomes of errors: codes, messages, and tracebacks that hold no secret."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.exits import guarded
from llm_jobs.errors import (
    DocumentError,
    ImmutableError,
    IntegrityError,
    LlmJobsError,
    NotFound,
    Problem,
    SetupError,
)

KEY = 'sk-test/key+with%signs=and"quotes'


def failing(error: BaseException) -> int:
    def call() -> None:
        raise error

    environment = {"OPENAI_API_KEY": KEY, "LLM_JOBS_DATABASE_URL": "postgresql://ada:hunter2%2Fhunter2@host/x"}
    return guarded(call, obj=Entry({**environment, "TERM": "dumb"}, Path("/")))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DocumentError([Problem(what="wrong")]), 2),
        (NotFound("nowhere"), 2),
        (ImmutableError("there already"), 2),
        (IntegrityError("changed"), 1),
        (SetupError("no key"), 3),
        (LlmJobsError("something"), 3),
        (click.UsageError("what?"), 2),
        (click.ClickException("what?"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (RuntimeError("a mistake"), 70),
    ],
)
def test_the_class_of_an_error_decides_the_exit_code(error: BaseException, code: int) -> None:
    assert failing(error) == code


def test_each_problem_is_a_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    failing(DocumentError([Problem(what="one\x1b[31m", file="a.yaml", line=3), Problem(what="two")]))
    assert capsys.readouterr().err == "error: a.yaml:3: one\\x1b[31m\nerror: two\n"


def test_a_mistake_of_the_program_shows_its_traceback_without_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    failing(RuntimeError(f"request with Bearer {KEY} failed"))
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "RuntimeError: request with Bearer" in error
    assert KEY not in error


def test_a_traceback_does_not_show_the_password_that_stands_in_a_url(capsys: pytest.CaptureFixture[str]) -> None:
    failing(RuntimeError("ada is not let in with hunter2/hunter2"))
    told = capsys.readouterr().err
    assert "ada is not let in with [removed secret]" in told
    assert "hunter2" not in told.partition("RuntimeError: ")[2]


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), ("text", 0)])
def test_what_a_command_returns_is_its_exit_code(returned: object, code: int) -> None:
    assert guarded(lambda: returned) == code
