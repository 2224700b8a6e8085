"""The Python API, in scripts and in a running event loop, without Dagster."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llm_jobs
from llm_jobs import AsyncJobExecutor, JobExecutor, JobResult
from llm_jobs.errors import DocumentError, LlmJobsError, NotFound

DOCUMENT = """
job:
  name: words
  model: simulated
  input: {rows: [{id: 1, text: good}, {id: 2, text: bad}]}
  prompts:
    - name: said
      text: "Say: {{ text }}"
      parameters: {tone: friendly}
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "words.yaml"
    path.write_text(DOCUMENT.replace("Say:", "Say, {{ tone }}:"))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def in_a_script(executor: AsyncJobExecutor) -> JobResult:
    return executor.run()


def in_a_notebook(executor: AsyncJobExecutor) -> JobResult:
    """Blocking, while an event loop runs in this thread."""

    async def cell() -> JobResult:
        return executor.run()

    return asyncio.run(cell())


def awaited(executor: AsyncJobExecutor) -> JobResult:
    return asyncio.run(executor.run_async())


WAYS = [in_a_script, in_a_notebook, awaited]


@pytest.mark.parametrize("run", WAYS)
def test_a_document_is_answered_and_its_rows_are_a_table(
    document: Path, home: Path, run: Callable[[AsyncJobExecutor], JobResult]
) -> None:
    result = run(AsyncJobExecutor(document, home=home))
    assert (result.status, result.rows, result.calls_sent, result.name) == ("done", 2, 2, "words")
    frame = result.to_pandas()
    assert list(frame["text"]) == ["good", "bad"]
    assert frame["said"].str.contains("Say, friendly: good", regex=False).iloc[0]
    assert result.to_arrow().column_names[:3] == ["id", "text", "said"]


@pytest.mark.parametrize("run", WAYS)
def test_callbacks_are_told_the_start_the_progress_and_the_result(
    document: Path, home: Path, run: Callable[[AsyncJobExecutor], JobResult]
) -> None:
    told: list[Any] = []
    executor = AsyncJobExecutor(str(document), home=home)
    executor.on("start", lambda: told.append("start"))
    executor.on("progress", lambda percent: told.append(percent))
    executor.on("complete", lambda result: told.append(result))
    result = run(executor)
    assert told[0] == "start"
    assert told[-1] is result
    percents = told[1:-1]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100


def test_the_second_run_sends_nothing_and_is_complete_at_once(document: Path, home: Path) -> None:
    JobExecutor(document, home=home).run()
    told: list[int] = []
    again = JobExecutor("words", home=home).on("progress", told.append).run()
    assert (again.calls_sent, again.calls_reused, told) == (0, 2, [100])


def test_a_job_in_a_batch_waits_and_is_complete_when_it_is_run_again(tmp_path: Path, home: Path) -> None:
    document = tmp_path / "words.yaml"
    document.write_text(DOCUMENT.replace("  model:", "  mode: batch\n  model:"))
    told: list[str] = []
    executor = JobExecutor(document, home=home).on("complete", lambda result: told.append(result.status))
    executor.on("error", lambda error: told.append(str(error)))
    with pytest.raises(NotFound, match="2 calls were submitted"):
        executor.run().to_arrow()
    assert len(executor.run().to_arrow()) == 2
    assert told == ["waiting", "done"]


def test_choices_stand_over_the_document(document: Path, home: Path) -> None:
    executor = JobExecutor(document, home=home, model="simulated/other", parameters={"tone": "sad"}, epoch="2026-W47")
    said = executor.run().to_pandas()["said"].iloc[0]
    assert "simulated/other" in said
    assert "Say, sad: good" in said


@pytest.mark.parametrize("run", WAYS)
def test_an_error_is_told_and_raised(home: Path, run: Callable[[AsyncJobExecutor], JobResult]) -> None:
    told: list[Exception] = []
    with pytest.raises(NotFound) as raised:
        run(AsyncJobExecutor("nowhere.yaml", home=home).on("error", told.append))
    assert told == [raised.value]


def test_a_callback_that_raises_spoils_nothing_and_is_told_in_the_end(document: Path, home: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        JobExecutor(document, home=home).on("progress", lambda percent: percent / 0).run()
    assert JobExecutor(document, home=home).run().calls_sent == 0


def test_a_job_without_a_result_is_a_report_with_its_reason(tmp_path: Path, home: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "good"}\n')
    document = tmp_path / "broken.yaml"
    document.write_text(DOCUMENT.replace("rows: [{id: 1, text: good}, {id: 2, text: bad}]", "path: rows.jsonl"))
    executor = JobExecutor(document, home=home)
    told: list[Exception] = []
    executor.on("start", lambda: rows.write_text('{"text": "changed"}\n')).on("error", told.append)
    result = executor.run()
    assert (result.status, result.result) == ("failed", None)
    assert "input changed since submission" in (result.error or "")
    assert [str(error) for error in told] == [result.error]
    with pytest.raises(NotFound, match="input changed"):
        result.to_arrow()


def test_an_event_that_does_not_exist_is_refused(document: Path) -> None:
    with pytest.raises(DocumentError, match="one of start, progress, complete, error"):
        JobExecutor(document).on("finished", print)  # type: ignore[arg-type]


def test_the_package_has_its_public_names_and_no_other() -> None:
    names = {"JobExecutor", "AsyncJobExecutor", "JobResult", "GraphBuilder", "LlmJob", "llm_asset"}
    assert set(llm_jobs.__all__) == names
    assert names <= set(dir(llm_jobs))
    with pytest.raises(AttributeError, match="Executor"):
        _ = llm_jobs.Executor
    assert issubclass(LlmJobsError, Exception)


def test_the_api_imports_neither_dagster_nor_pandas() -> None:
    code = "from llm_jobs import JobExecutor; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"dagster", "pandas", "openai"}.isdisjoint(done.stdout.split())
