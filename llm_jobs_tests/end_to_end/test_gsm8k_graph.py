"""Real input as one document: 1,319 questions asked of four models, graded, their accuracies in a PostgreSQL table and
in a CSV file. The answers are the recorded ones; the command line, the ledger, the database and the files are real.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from llm_jobs_tests.cli.house import House
from llm_jobs_tests.end_to_end.test_gsm8k import ACCURACIES, DATA, QUESTIONS, recorded_answers
from llm_jobs_tests.servers.postgres import postgres_server
from llm_jobs_tests.servers.replay import ReplayServer, replay_server

DOCUMENT = """
job:
  name: gsm8k
  description: Grade-school problems, answered by four models; how many of the answers are right?
  input: {path: %(questions)s}
  steps:
    - name: given
      purpose: the model's solution, which ends in its answer
      text: "{{ question }}"
      for_each_model: [%(models)s]
    - name: correct
      purpose: is the number after the solution that of the reference?
      task: expression
      inputs:
        value: given.split('A:')[-1].strip().replace(',', '') == answer.split('####')[-1].strip().replace(',', '')
        type: boolean
    - name: accuracy
      reduce: {by: [model], aggregate: {questions: count, accuracy: {mean: correct}}}
%(more)s
  output:
    - {path: "%(folder)s/accuracies-{{ job_hash }}.csv"}
    - {destination: database, connection: lab, table: %(table)s, mode: upsert, key: [model]}
"""
COMMENT = """
    - name: comment
      text: "{{ model }} is right in {{ accuracy }} of {{ questions }}"
      model: openai/gpt-4.1-mini
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    with postgres_server() as server:
        yield server.create_database("lab").replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with replay_server(by_model=recorded_answers(), latency_s=0.005) as replaying:
        yield replaying


def house_of(folder: Path, server: ReplayServer, lab: str) -> House:
    roots = f"{folder}:{DATA}"
    variables = {
        "OPENAI_BASE_URL": server.openai_url,
        "OPENAI_API_KEY": "sk-of-tests",
        "LLM_JOBS_ALLOWED_ROOTS": roots,
        "LLM_JOBS_CONNECTION_LAB": lab,
    }
    return House(folder, variables)


def document(folder: Path, more: str = "", *, table: str = "accuracies") -> str:
    models = ", ".join(f"openai/{model}" for model in ACCURACIES)
    values = {"questions": DATA / "test.jsonl", "models": models, "more": more, "folder": folder, "table": table}
    return DOCUMENT % values


def in_database(url: str) -> dict[str, tuple[int, float]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT model, questions, accuracy FROM accuracies")).all()
    engine.dispose()
    return {row[0].removeprefix("openai/"): (row[1], round(row[2], 4)) for row in rows}


def in_file(folder: Path) -> dict[str, tuple[int, float]]:
    [path] = folder.glob("accuracies-*.csv")
    with path.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {
        row["model"].removeprefix("openai/"): (int(row["questions"]), round(float(row["accuracy"]), 4)) for row in rows
    }


def test_four_models_are_asked_graded_and_compared_by_one_document_and_a_step_more_asks_only_its_own(
    tmp_path: Path, server: ReplayServer, lab: str
) -> None:
    house = house_of(tmp_path, server, lab)
    expected = {model: (QUESTIONS, accuracy) for model, accuracy in ACCURACIES.items()}

    done = house.process("run", str(house.write("gsm8k.yaml", document(tmp_path))), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[0])
    assert (report["status"], report["rows"], report["calls_sent"]) == ("done", 4, 4 * QUESTIONS)
    assert in_file(tmp_path) == expected
    assert in_database(lab) == expected
    before = server.stats()["total"]
    assert before == 4 * QUESTIONS

    more = house.process(
        "run", str(house.write("gsm8k.yaml", document(tmp_path, COMMENT, table="commented"))), "--json"
    )
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout.splitlines()[0])["calls_sent"] == server.stats()["total"] - before == 4
