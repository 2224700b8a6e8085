"""What both result stores promise: one class of tests, a local folder and a real S3 server."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llm_jobs.errors import ImmutableError, NotFound, SetupError
from llm_jobs.events import Event, ResultLinked, ResultWritten, ignore
from llm_jobs.results.layout import result_path, step_path
from llm_jobs.results.opening import open_store
from llm_jobs.results.verifying import digest
from llm_jobs.results.writing import ResultWriter
from llm_jobs_tests.results.stores import JOB, ROWS, SCHEMA, OpenStore, bytes_of, open_in, s3_environment, write_result
from llm_jobs_tests.servers.s3 import S3Server

PATH = result_path(JOB, 1_700_000_000_000_000_001)
LATER = result_path(JOB, 1_700_000_000_000_000_002)
BUCKETS = itertools.count()
PUBLIC = {"draft", "keep", "open", "paths", "locate", "relative", "url"}
KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from llm_jobs.results.opening import open_store
from llm_jobs_tests.results.stores import write_result

def die(event):
    if type(event).__name__ == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

store = open_store(sys.argv[1], emit=die, scratch=Path(sys.argv[2]))
write_result(store, sys.argv[4])
"""


class StoreContract:
    """Every result store passes these."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, url: str, tmp_path: Path) -> OpenStore:
        return open_in(url, tmp_path / "scratch")

    def test_what_was_written_is_read_and_its_digest_is_that_of_its_bytes(self, opened: OpenStore) -> None:
        store = opened(ignore)
        stored = write_result(store, PATH)
        content = bytes_of(store, PATH)
        assert stored.sha256 == hashlib.sha256(content).hexdigest() == digest(store, PATH)
        assert (stored.path, stored.size_bytes, stored.rows) == (PATH, len(content), len(ROWS))

    def test_a_result_is_never_overwritten(self, opened: OpenStore) -> None:
        store = opened(ignore)
        write_result(store, PATH)
        before = bytes_of(store, PATH)
        with pytest.raises(ImmutableError, match="exists already and is not overwritten"):
            write_result(store, PATH, [{"id": 3, "answer": "another"}])
        assert bytes_of(store, PATH) == before

    def test_no_method_of_a_store_deletes_or_replaces(self, opened: OpenStore) -> None:
        assert {name for name in dir(opened(ignore)) if not name.startswith("_")} == PUBLIC

    def test_of_racing_writers_one_wins_and_the_others_are_told(self, opened: OpenStore) -> None:
        writers = [ResultWriter(opened(ignore), PATH, SCHEMA) for _ in range(6)]
        for number, writer in enumerate(writers):
            writer.write([{"id": number, "answer": "mine"}])
        with ThreadPoolExecutor(len(writers)) as pool:
            outcomes = list(pool.map(_close, writers))
        digests = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert digests == [digest(opened(ignore), PATH)]
        assert sum(isinstance(outcome, ImmutableError) for outcome in outcomes) == len(writers) - 1

    def test_a_listener_hears_of_the_whole_file_and_then_of_its_name(self, opened: OpenStore) -> None:
        heard: list[tuple[Event, list[str]]] = []
        store = opened(lambda event: heard.append((event, opened(ignore).paths(JOB))))
        write_result(store, PATH)
        assert heard == [(ResultWritten(JOB), []), (ResultLinked(JOB, PATH), [PATH])]

    def test_results_of_a_job_are_listed_oldest_first_without_step_tables(self, opened: OpenStore) -> None:
        store = opened(ignore)
        assert store.paths(JOB) == []
        for path in (LATER, PATH, step_path(JOB, 1_700_000_000_000_000_003, "judge")):
            write_result(store, path)
        assert store.paths(JOB) == [PATH, LATER]

    def test_an_aborted_result_leaves_nothing(self, opened: OpenStore, tmp_path: Path) -> None:
        with ResultWriter(opened(ignore), PATH, SCHEMA) as writer:
            writer.write(ROWS)
        assert opened(ignore).paths(JOB) == []
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    @pytest.mark.parametrize(("event", "left"), [("ResultWritten", []), ("ResultLinked", [PATH])])
    def test_a_writer_killed_at_any_event_leaves_nothing_or_a_whole_result(
        self, opened: OpenStore, url: str, tmp_path: Path, event: str, left: list[str]
    ) -> None:
        arguments = [sys.executable, "-c", KILLED_WRITER, url, str(tmp_path / "scratch"), event, PATH]
        assert subprocess.run(arguments, check=False, env=dict(os.environ)).returncode == -signal.SIGKILL
        store = opened(ignore)
        assert store.paths(JOB) == left
        stored = write_result(store, LATER)
        for path in store.paths(JOB):
            assert digest(store, path) == stored.sha256

    def test_what_is_not_there_is_not_found(self, opened: OpenStore) -> None:
        with pytest.raises(NotFound, match=JOB):
            bytes_of(opened(ignore), PATH)

    def test_a_location_leads_back_to_its_path(self, opened: OpenStore) -> None:
        store = opened(ignore)
        assert store.relative(store.locate(PATH)) == PATH == store.relative(PATH)


def _close(writer: ResultWriter) -> str | ImmutableError:
    try:
        return writer.close().sha256
    except ImmutableError as error:
        return error


class TestLocalStore(StoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path / "results")

    def test_a_result_is_read_only(self, opened: OpenStore) -> None:
        store = opened(ignore)
        write_result(store, PATH)
        assert stat.S_IMODE(Path(store.locate(PATH)).stat().st_mode) == 0o444

    def test_what_a_killed_writer_left_beside_goes_with_the_next_result(self, opened: OpenStore, url: str) -> None:
        arguments = [sys.executable, "-c", KILLED_WRITER, url, url, "ResultWritten", PATH]
        subprocess.run(arguments, check=False)
        folder = Path(url) / JOB
        assert [path.name.endswith(".llm-jobs-draft") for path in folder.iterdir()] == [True]
        write_result(opened(ignore), LATER)
        assert [path.name for path in folder.iterdir()] == [Path(LATER).name]

    def test_what_a_living_writer_has_beside_stays(self, opened: OpenStore) -> None:
        slow = ResultWriter(opened(ignore), PATH, SCHEMA)
        slow.write(ROWS)
        write_result(opened(ignore), LATER)
        slow.close()
        assert opened(ignore).paths(JOB) == [PATH, LATER]

    def test_a_file_url_is_a_folder(self, tmp_path: Path) -> None:
        store = open_store(f"file://{tmp_path}/results")
        assert store.locate(PATH) == f"{tmp_path}/results/{PATH}"


class TestObjectStore(StoreContract):
    @pytest.fixture
    def url(self, s3: S3Server) -> Iterator[str]:
        with s3_environment(s3):
            yield s3.create_bucket(f"results-{next(BUCKETS)}") + "/of/tests"

    def test_a_large_result_is_put_in_parts_and_never_overwritten(self, opened: OpenStore, tmp_path: Path) -> None:
        store = opened(ignore)
        large = os.urandom(101 * 1024 * 1024)  # the client sends what exceeds 100 MiB in parts
        drafts = [store.draft(PATH), store.draft(PATH)]
        drafts[0].path.write_bytes(large)
        store.keep(drafts[0], PATH)
        drafts[1].path.write_bytes(large[::-1])
        with pytest.raises(ImmutableError):
            store.keep(drafts[1], PATH)
        assert digest(store, PATH) == hashlib.sha256(large).hexdigest()

    def test_a_bucket_that_is_not_there_is_a_matter_of_set_up(self, s3: S3Server, tmp_path: Path) -> None:
        with s3_environment(s3), pytest.raises(SetupError, match="check the bucket"):
            write_result(open_store("s3://no-such-bucket/results", scratch=tmp_path), PATH)


@pytest.mark.parametrize("url", ["memory://results", "ftp://host/results"])
def test_a_store_that_may_overwrite_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="known to refuse overwriting"):
        open_store(url)
