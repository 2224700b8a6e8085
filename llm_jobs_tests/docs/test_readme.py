"""Every block of the README is run, in its order and in one terminal, in a project that is as new as a user's.

How each is run: shell blocks by bash, where `make ui` is kept running until the next section; Python blocks by the
project's interpreter, or saved under the name that the text before them gives; the YAML block as a document. Servers
started here stand in for OpenAI, Ollama, PostgreSQL and S3.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llm_jobs.cli.main import COMMANDS
from llm_jobs.results.columns import FACTS
from llm_jobs_tests.docs.pages import README, ROOT, blocks, headings, links, section, table_after
from llm_jobs_tests.docs.shell import Shell, clean_environment, new_project, wait_until
from llm_jobs_tests.orchestration.page import free_port
from llm_jobs_tests.servers.postgres import postgres_server
from llm_jobs_tests.servers.replay import replay_server
from llm_jobs_tests.servers.s3 import s3_server

TEXT = README.read_text(encoding="utf-8")
SERVE = "make ui"
ORDER = ["Two commands", "A job file", "The result", "A real model", "Where things live", "Many machines"]
VARIABLE = re.compile(r"\b(?:LLM_JOBS|OPENAI|ANTHROPIC|OLLAMA|DAGSTER)_[A-Z_]+\b")


@dataclass(slots=True)
class Session:
    """What came of it: each shell block's output by its text, and the servers that were asked."""

    shell: Shell
    outputs: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    dropped: bool = False

    def of(self, command: str) -> str:
        """What the block that holds `command` printed."""
        [output] = [output for text, output in self.outputs.items() if command in text]
        return output


def reviews() -> list[dict[str, str]]:
    with (ROOT / "examples/reviews.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def label_answers() -> dict[str, str]:
    """What the stand-in for a real model says to each review."""
    label = json.dumps({"sentiment": "neutral", "score": 3})
    return {f"Product: {row['product']}\nReview: {row['review']}": label for row in reviews()}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("readme")
    new_project(folder)
    models = [{"name": "llama3.2:latest", "digest": "a" * 64}]
    with (
        replay_server(answers=label_answers(), models=models) as model,
        postgres_server() as postgres,
        s3_server() as s3,
    ):
        places = {
            "http://127.0.0.1:8000/v1": model.openai_url,
            "postgresql://llm_jobs:PASSWORD@db.example:5432/llm_jobs": postgres.create_database("ledger"),
            "s3://my-bucket/results": f"{s3.create_bucket('my-bucket')}/results",
        }
        servers = {"OPENAI_BASE_URL": model.openai_url, "OLLAMA_HOST": model.url, **s3.environment}
        environment = clean_environment() | servers | {"PORT": str(free_port()), "COLUMNS": "200"}
        session = Session(Shell(folder, environment))
        follow(session, places)
        session.requests = model.stats()["total"]
        yield session


def follow(session: Session, places: Mapping[str, str]) -> None:
    """Do everything that the README says, section by section."""
    assert [place for place in places if place not in TEXT] == []
    for heading in headings(TEXT):
        text = section(TEXT, heading)
        with ExitStack() as until_the_next:
            for block in blocks(text):
                if block.language == "sh":
                    run_commands(session, block.text, places, until_the_next)
                elif block.language == "python":
                    run_python(session, block.text, before=text[: text.index(block.text)])
            if SERVE in session.outputs and not session.dropped:
                session.dropped = wait_for_empty_inbox(session.shell.folder)


def wait_for_empty_inbox(folder: Path) -> bool:
    wait_until(lambda: not any((folder / "data/inbox").iterdir()), told_by=folder / "serving.log")
    return True


def run_commands(session: Session, text: str, places: Mapping[str, str], until_the_next: ExitStack) -> None:
    for place, stand_in in places.items():
        text = text.replace(place, stand_in)
    lines = text.splitlines()
    session.outputs[text] = session.shell.run("\n".join(line for line in lines if not line.startswith(SERVE)))
    if any(line.startswith(SERVE) for line in lines):
        url = f"http://127.0.0.1:{session.shell.environment['PORT']}/server_info"
        until_the_next.enter_context(session.shell.serving(SERVE, url=url))
        session.outputs[SERVE] = url


def run_python(session: Session, text: str, *, before: str) -> None:
    named = re.search(r"Save this as `([^`]+)`:\s+```python\s*\Z", before)
    path = session.shell.folder / (named[1] if named else "block.py")
    path.write_text(text, encoding="utf-8")
    if named is None:
        session.outputs[text] = session.shell.run(f"python {path.name}")


def test_the_readme_shows_things_in_the_order_in_which_a_reader_asks_for_them() -> None:
    opening = TEXT.split("## ", 1)[0]
    sentences = re.split(r"(?<=\.)\s+", opening.split("\n\n")[1].strip())
    assert len(sentences) == 3
    assert links(opening) == ["docs/images/lineage.png"]
    assert headings(TEXT)[: len(ORDER)] == ORDER


def test_every_block_is_of_a_kind_that_is_run() -> None:
    found = blocks(TEXT)
    assert {block.language for block in found} == {"sh", "python", "yaml"}
    assert sum(block.language == "yaml" for block in found) == 1


def test_the_two_commands_answer_the_examples_and_open_dagster(session: Session) -> None:
    assert "70 calls sent." in session.of("make run  #")
    assert session.outputs[SERVE].startswith("http://127.0.0.1:")


def test_make_run_again_sends_no_call_and_says_so(session: Session) -> None:
    environment = clean_environment()
    assert "No call was sent: every answer was reused." in Shell(session.shell.folder, environment).run("make run")


def test_a_file_copied_into_the_inbox_is_taken_by_the_running_dagster(session: Session) -> None:
    folder = session.shell.folder / "data"
    assert session.dropped
    assert list((folder / "rejected").glob("*")) == []
    assert len(list(folder.glob("jobs/*/*_translate.json"))) >= 2  # `make run`'s, and the one that was dropped


def test_the_job_file_shown_is_the_example_itself(session: Session) -> None:
    [block] = [block for block in blocks(TEXT) if block.language == "yaml"]
    folder = session.shell.folder
    (folder / "examples/shown.yaml").write_text(block.text, encoding="utf-8")
    told = Shell(folder, session.shell.environment).run(
        "llm-jobs validate --json examples/shown.yaml examples/reviews.yaml"
    )
    shown, example = [json.loads(line) for line in told.splitlines()]
    assert shown["job_hash"] == example["job_hash"]


def test_the_result_shown_is_what_make_run_made(session: Session) -> None:
    at_home = {**session.shell.environment, "LLM_JOBS_DATABASE_URL": "", "LLM_JOBS_RESULTS_URL": ""}
    told = Shell(session.shell.folder, at_home).run("llm-jobs results examples/reviews.yaml --json")
    rows = [json.loads(line) for line in told.splitlines()]
    shown = list(table_after(TEXT, "<!-- result -->"))
    assert shown == [{name: str(row[name]) for name in shown[0]} for row in rows[: len(shown)]]


def test_looking_at_results_works_as_shown(session: Session) -> None:
    with (session.shell.folder / "reviews.csv").open(encoding="utf-8") as file:
        assert [row["review"] for row in csv.DictReader(file)] == [row["review"] for row in reviews()]
    output = session.of("llm-jobs verify")
    assert "Aeropress" in output
    assert "Everything is as it was recorded." in output


def test_real_models_are_asked_once_for_each_review(session: Session) -> None:
    assert "25 calls sent." in session.of("OPENAI_API_KEY=sk-")
    assert session.of("Qwen/Qwen3-8B").count("25 calls sent.") == 2  # and Ollama's
    assert session.requests == 3 * len(reviews())


def test_many_machines_share_a_ledger_on_postgresql_and_results_on_s3(session: Session) -> None:
    output = session.of("pip install 'llm-jobs[s3]'")
    assert "Ledger: postgresql" in output
    assert "s3://my-bucket/results/" in output


def test_python_gets_the_result_as_a_dataframe(session: Session) -> None:
    output = session.of("JobExecutor(")
    assert "done 0 calls sent" in output
    assert "Rain jacket" in output


def test_an_asset_of_ones_own_takes_results(session: Session) -> None:
    assert "RUN_SUCCESS" in session.of("--python-file scores.py")


def test_every_variable_that_the_code_reads_is_in_the_readme_and_no_other() -> None:
    read = {
        name
        for path in (ROOT / "llm_jobs").rglob("*.py")
        for name in re.findall(rf'"({VARIABLE.pattern})"', path.read_text(encoding="utf-8"))
    }
    assert read == set(VARIABLE.findall(TEXT))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown(name: str) -> None:
    assert re.search(rf"llm-jobs {name}\b", TEXT)


def test_every_fact_of_a_result_is_named_and_no_other() -> None:
    named = set(re.findall(r"\bllm_(?!jobs\b)[a-z_]+\b", section(TEXT, "The result")))
    assert named == {fact.name for fact in FACTS}
