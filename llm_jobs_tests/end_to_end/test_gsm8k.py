"""Real input, end to end: 1,319 questions and the recorded answers of four models, from documents dropped in the inbox
of a running Dagster to accuracies that are computed from the result files and the reference answers alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from llm_jobs_tests.end_to_end.documents import FORMATS, Format, write_document
from llm_jobs_tests.end_to_end.processes import KEY
from llm_jobs_tests.orchestration.page import Page, running_dagster, until
from llm_jobs_tests.servers.replay import ReplayServer, replay_server

DATA = Path(__file__).parents[1] / "data" / "gsm8k"
ACCURACIES = {
    "6b_finetuning": 0.2168,
    "6b_verification": 0.3904,
    "175b_finetuning": 0.3472,
    "175b_verification": 0.5625,
}
QUESTIONS = 1319


@dataclass(frozen=True, kw_only=True)
class Run:
    """A running instance that has answered every model's document of one format."""

    form: Format
    page: Page
    server: ReplayServer
    folder: Path


def records(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def questions() -> list[str]:
    return [str(record["question"]) for record in records("test.jsonl")]


def recorded_answers() -> list[tuple[str, str, str]]:
    return [
        (model, str(record["question"]), record[model]["solution"])  # type: ignore[index]
        for record in records("model_solutions.jsonl")
        for model in ACCURACIES
    ]


@pytest.fixture(scope="module", params=FORMATS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp(f"gsm8k-{request.param}")
    with replay_server(by_model=recorded_answers(), latency_s=0.005) as server:
        environment = {"OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": KEY}
        environment["LLM_JOBS_ALLOWED_ROOTS"] = str(folder)
        with running_dagster(folder, environment) as page:
            done = Run(form=request.param, page=page, server=server, folder=folder)
            drop_all(done, "first", questions())
            page.ended(*ACCURACIES)
            yield done


def drop_all(run: Run, batch: str, asked: list[str], *, prefix: str = "") -> list[Path]:
    """Drop one document for each model."""
    paths = [
        write_document(run.folder / batch, run.form, name=f"{prefix}{model}", model=f"openai/{model}", questions=asked)
        for model in ACCURACIES
    ]
    for path in paths:
        run.page.drop(path.name, path.read_text(encoding="utf-8"))
    return paths


def accuracy(result: str) -> float:
    """From the result file and the reference answers: the share of answers whose final number is right."""
    table = pq.read_table(result, columns=["answer"]).to_pydict()["answer"]
    right = [str(record["answer"]).rpartition("####")[2].strip().replace(",", "") for record in records("test.jsonl")]
    given = [str(text).rpartition("A:")[2].strip().replace(",", "") for text in table]
    assert len(given) == len(right) == QUESTIONS
    correct = sum(mine == theirs for mine, theirs in zip(given, right, strict=True))
    return correct / QUESTIONS


def test_the_accuracies_are_the_recorded_ones_and_each_question_was_asked_once(run: Run) -> None:
    lines = run.page.lines()
    measured = {model: round(accuracy(str(lines[model].result)), 4) for model in ACCURACIES}
    assert measured == ACCURACIES
    stats = run.server.stats()
    assert (stats["total"], stats["distinct"]) == (4 * QUESTIONS, 4 * QUESTIONS)


def test_the_same_documents_again_renamed_and_reordered_ask_nothing(run: Run) -> None:
    before = run.server.stats()["total"]
    for model in ACCURACIES:
        (path,) = [path for path in (run.folder / "first").glob(f"{model}.*") if not path.match("*.rows.jsonl")]
        run.page.drop(f"again-{path.name}.{'json' if run.form != 'batch' else 'jsonl'}", reordered(path))
    drop_all(run, "reversed", questions()[::-1], prefix="reversed-")
    run.page.ended(*(f"reversed-{model}" for model in ACCURACIES))
    until(lambda: not list(run.page.settings.inbox.iterdir()))
    assert not list(run.page.settings.rejected.iterdir())
    assert run.server.stats()["total"] == before


def reordered(path: Path) -> str:
    """The document with its members in another order, a YAML job as JSON."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return "".join(json.dumps(dict(reversed(json.loads(line).items()))) + "\n" for line in text.splitlines())
    document = yaml.safe_load(text)
    return json.dumps({key: dict(reversed(value.items())) for key, value in reversed(document.items())}, indent=3)
