"""The inbox: one document's trouble is its own, and what is no document is left alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from llm_jobs.errors import NotFound
from llm_jobs.events import ignore
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.intake import intake
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import Services, open_services
from llm_jobs.settings import Settings

GOOD = "job:\n  name: good\n  model: simulated\n  prompts: [{name: answer, text: 'Name a colour.'}]\n"
OLLAMA = GOOD.replace("model: simulated", "model: ollama/llama3.2").replace("good", "local")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    environment = {"LLM_JOBS_HOME": str(tmp_path / "home"), "OLLAMA_HOST": "http://127.0.0.1:9"}
    settings = Settings.from_environment(environment, working_directory=tmp_path)
    with open_services(settings, environment=environment, working_directory=tmp_path) as opened:
        yield opened


def drop(services: Services, name: str, text: str | bytes) -> None:
    path = services.settings.inbox / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, ns=(0, 0))


def test_a_document_whose_server_is_down_waits_and_keeps_nobody_waiting(services: Services) -> None:
    drop(services, "a-local.yaml", OLLAMA)
    drop(services, "b-good.yaml", GOOD)
    report = intake(services, budget_s=60)
    assert [document.document_name for document in report.accepted] == ["b-good.yaml"]
    assert [document.document_name for document in report.postponed] == ["a-local.yaml"]
    assert [path.name for path in services.settings.inbox.iterdir()] == ["a-local.yaml"]


@dataclass
class AnotherIntake:
    """A clock by which another intake takes the document at `path` when the time is read for the `at`-th time."""

    path: Path
    at: int
    read: int = 0

    def now_ns(self) -> int:
        self.read += 1
        if self.read >= self.at:
            self.path.unlink(missing_ok=True)
        return 10**18 + self.read


@pytest.mark.parametrize("at", [3, 4])
def test_a_document_that_another_intake_took_meanwhile_keeps_nobody_waiting(services: Services, at: int) -> None:
    drop(services, "a-wrong.yaml", "job: {}")
    drop(services, "b-good.yaml", GOOD)
    clock = AnotherIntake(services.settings.inbox / "a-wrong.yaml", at)
    report = intake(replace(services, clock=clock), budget_s=60, largest_bytes=10_000)
    assert [document.document_name for document in report.accepted] == ["b-good.yaml"]
    assert not list(services.settings.inbox.iterdir())


def test_a_document_that_meets_a_defect_is_rejected_and_the_traceback_is_logged(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    drop(services, "good.yaml", GOOD)
    with caplog.at_level(logging.ERROR, logger="llm_jobs"):
        report = intake(replace(services, stacks=None, library=None), budget_s=60)  # type: ignore[arg-type]
    [rejected] = report.rejected
    assert rejected.error.startswith("unexpected AttributeError: ")
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("name", ["x" * 240 + ".yaml", "é" * 120 + ".yaml"])
def test_a_long_name_is_accepted_or_rejected_and_blocks_nothing(services: Services, name: str) -> None:
    drop(services, name, GOOD)
    drop(services, "y" * 240 + ".yaml", "job: {}")
    drop(services, "z.yaml", GOOD.replace("good", "last"))
    report = intake(services, budget_s=60)
    assert {document.job_name for document in report.accepted} == {"good", "last"}
    assert len(report.rejected) == 1
    assert not list(services.settings.inbox.iterdir())


def test_a_table_beside_its_job_is_left_where_it_is(services: Services) -> None:
    drop(services, "words.csv", "word\napple\n")
    drop(
        services,
        "z.yaml",
        GOOD.replace("'Name", "'{{ word }}").replace("  prompts", "  input: {path: words.csv}\n  prompts"),
    )
    assert len(intake(services, budget_s=60).accepted) == 1
    assert [path.name for path in services.settings.inbox.iterdir()] == ["words.csv"]


@pytest.mark.parametrize(
    "name", ["a.tsv", "a.jsonl.gz", "a.csv.xz", "a.parquet", "shop.db", "shop.db-wal", "s.sqlite3"]
)
def test_tables_and_databases_may_lie_beside_the_documents_that_read_them(services: Services, name: str) -> None:
    drop(services, name, "no document")
    report = intake(services, budget_s=60)
    assert (report.accepted, report.rejected, report.remaining) == ((), (), 0)
    assert [path.name for path in services.settings.inbox.iterdir()] == [name]


def test_a_file_that_is_being_written_is_left_for_the_next_look(services: Services) -> None:
    (services.settings.inbox / "growing.yaml").write_text(GOOD)
    assert intake(services, budget_s=60).accepted == ()


def test_a_job_that_nobody_submitted_is_an_error_and_no_hang(services: Services) -> None:
    with pytest.raises(NotFound):
        list(run_jobs(services, ["0" * 32], listener=ignore))


def test_a_job_that_says_so_fails_where_a_row_cannot_be_asked(services: Services) -> None:
    text = GOOD.replace("'Name a colour.'", "'{{ word }}'").replace(
        "  prompts",
        "  input: {rows: [{word: a}, {word: null}]}\n  error_handling: {on_input_error: {strategy: fail}}\n  prompts",
    )
    drop(services, "strict.yaml", text)
    (accepted,) = intake(services, budget_s=60).accepted
    (report,) = run_jobs(services, [accepted.job_hash], listener=ignore)
    assert (report.status, report.result) == ("failed", None)
    assert "word" in (report.error or "")


def test_a_large_document_is_left_for_a_run_and_keeps_the_small_ones_waiting_no_longer(services: Services) -> None:
    drop(services, "a-large.yaml", GOOD + "# " + "x" * 5000)
    drop(services, "b-small.yaml", GOOD)
    report = intake(services, budget_s=60, largest_bytes=4000)
    assert [document.document_name for document in report.accepted] == ["b-small.yaml"]
    assert report.remaining == 1
    assert intake(services, budget_s=60).remaining == 0


def test_a_name_means_the_newest_job_for_a_run_and_the_newest_with_a_result_for_a_reader(services: Services) -> None:
    drop(services, "one.yaml", GOOD)
    (first,) = intake(services, budget_s=60).accepted
    list(run_jobs(services, [first.job_hash], listener=ignore))
    drop(services, "two.yaml", GOOD.replace("colour", "number"))
    (second,) = intake(services, budget_s=60).accepted
    assert find_job(services, "good").job_hash == second.job_hash
    assert find_job(services, "good", answered=True).job_hash == first.job_hash
