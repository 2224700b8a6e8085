"""What is of record cannot be overwritten, changed or deleted: not by this code, not by SQL, not by a racing writer."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from llm_jobs.errors import ImmutableError
from llm_jobs.events import ignore
from llm_jobs.operations.accept import accept
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import Services, open_services
from llm_jobs.operations.verify import verify
from llm_jobs.results.layout import result_path
from llm_jobs.results.writing import ResultWriter
from llm_jobs.settings import Settings
from llm_jobs_tests.end_to_end.documents import FORMATS, Format, write_document

TABLES = ("submissions", "intents", "outcomes", "answers", "payloads", "results")


@pytest.fixture(params=FORMATS)
def finished(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Services, str]]:
    """Services and the hash of a job with a result, from a document of each format."""
    form: Format = request.param
    questions = ["one", "two"]
    path = write_document(tmp_path / "documents", form, name="job", model="simulated", questions=questions)
    settings = Settings.from_environment({"LLM_JOBS_HOME": str(tmp_path / "home")}, working_directory=tmp_path)
    with open_services(settings, environment={}, working_directory=tmp_path) as services:
        (accepted,) = accept(services, path, origin="python")
        (report,) = run_jobs(services, [accepted.job.hash], listener=ignore)
        assert report.status == "done"
        yield services, accepted.job.hash


def test_a_result_is_not_overwritten_by_the_projects_own_writer(finished: tuple[Services, str]) -> None:
    services, job_hash = finished
    (path,) = services.store.paths(job_hash)
    with pytest.raises(ImmutableError, match="exists already"):
        ResultWriter(services.store, path, pa.schema([("a", pa.int64())]))
    assert verify(services).intact


def test_of_racing_writers_of_one_result_one_wins_and_the_others_are_told(finished: tuple[Services, str]) -> None:
    services, job_hash = finished
    path, schema = result_path(job_hash, 1), pa.schema([("a", pa.int64())])
    writers = [ResultWriter(services.store, path, schema) for _ in range(8)]
    outcomes: list[object] = []

    def close(writer: ResultWriter) -> None:
        try:
            outcomes.append(writer.close())
        except ImmutableError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=close, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, ImmutableError) for outcome in outcomes) == 7


def test_a_result_is_read_only_and_its_name_is_taken(finished: tuple[Services, str]) -> None:
    services, job_hash = finished
    place = Path(services.store.locate(services.store.paths(job_hash)[0]))
    assert place.stat().st_mode & 0o222 == 0
    with pytest.raises(FileExistsError):
        os.link(__file__, place)


def test_a_result_that_is_changed_by_force_is_found(finished: tuple[Services, str]) -> None:
    services, job_hash = finished
    place = Path(services.store.locate(services.store.paths(job_hash)[0]))
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-1] + b"!")
    assert [str(place) in told for told in verify(services).damaged] == [True]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("verb", ["update", "delete", "replace"])
def test_sql_cannot_change_what_is_of_record(finished: tuple[Services, str], table: str, verb: str) -> None:
    services, _ = finished
    statement = {
        "update": f"UPDATE {table} SET rowid = rowid + 1"
        if table != "answers"
        else f"UPDATE {table} SET call_hash = 'x'",
        "delete": f"DELETE FROM {table}",
        "replace": f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
    }[verb]
    with closing(sqlite3.connect(services.settings.home / "ledger.db")) as connection:
        before = connection.execute(f"SELECT * FROM {table}").fetchall()
        assert before
        with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
            connection.execute(statement)
        assert connection.execute(f"SELECT * FROM {table}").fetchall() == before


def test_a_second_digest_for_one_result_is_refused(finished: tuple[Services, str]) -> None:
    services, job_hash = finished
    (record,) = services.ledger.results([job_hash])[job_hash]
    with pytest.raises(ImmutableError):
        services.ledger.record_result(replace(record, sha256="0" * 64))
