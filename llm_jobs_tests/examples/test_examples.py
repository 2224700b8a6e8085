"""Every file in `examples/` is validated, run without Dagster, and described in its README."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.recurring import recurring_documents
from llm_jobs_tests.cli.house import REPOSITORY, House, facts
from llm_jobs_tests.servers.replay import replay_server

EXAMPLES = REPOSITORY / "examples"
DOCUMENTS = sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".yaml", ".json", ".jsonl"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """The examples, and the home folder as it is in the repository."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    house = House(tmp_path)
    for name in ("models.yaml", "prompts", "scripts"):
        source, target = REPOSITORY / "data" / name, house.home / name
        house.home.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    return house


@pytest.fixture(scope="module")
def ollama() -> Iterator[str]:
    """The address of an Ollama server that has one model; a job of a local model holds the digest of its weights."""
    with replay_server(models=[{"name": "llama3.2:latest", "digest": "a" * 64}]) as server:
        yield server.url


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_an_example_is_good_answered_in_every_row_and_free_the_second_time(house: House, document: Path) -> None:
    [examined] = facts(house.invoke("validate", f"examples/{document.name}", "--json").stdout)
    [first] = house.answer(house.folder / "examples" / document.name)
    [second] = house.answer(house.folder / "examples" / document.name)
    assert (first.status, first.rows, first.calls_sent) == ("done", examined["rows"], examined["calls"])
    assert (second.calls_sent, second.calls_reused) == (0, first.calls_sent)


def test_every_example_is_described_and_no_other(house: House) -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in EXAMPLES.iterdir() if f"`{path.name}`" not in text and path.name != "README.md"] == []


def test_the_reviews_become_typed_columns(house: House) -> None:
    house.answer(house.folder / "examples/reviews.yaml")
    assert house.invoke("results", "reviews", "--output", "reviews.parquet").exit_code == 0
    schema = pa.parquet.read_schema(house.folder / "reviews.parquet")
    assert (schema.field("sentiment").type, schema.field("score").type) == (pa.string(), pa.int64())


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5", "ollama/llama3.2", "llama", "gpt-4.1-mini", "claude-haiku"],
)
def test_the_reviews_may_be_asked_of_real_models(house: House, ollama: str, model: str) -> None:
    house.variables["OLLAMA_HOST"] = ollama
    [examined] = facts(house.invoke("validate", "examples/reviews.yaml", "--model", model, "--json").stdout)
    assert (examined["rows"], examined["problem"]) == (25, None)
    assert "Product: Aeropress" in str(examined["request"])


def test_the_second_prompt_of_summarise_is_about_the_answer_of_the_first(house: House) -> None:
    house.answer(house.folder / "examples/summarise.yaml")
    [row, *_] = facts(house.invoke("results", "summarise", "--json").stdout)
    assert row["summary"][:30] in row["headline"]
    [validated] = facts(house.invoke("validate", "examples/summarise.yaml", "--json").stdout)
    assert "at most 20 words" in str(validated["request"])


def test_the_scripts_print_the_prompt_and_the_request_and_the_program_answers(house: House) -> None:
    house.answer(house.folder / "examples/readability.json")
    [row] = facts(house.invoke("results", "readability", "--json").stdout)
    assert row["answer"].startswith("grade ")


def test_the_weekly_document_is_a_schedule(house: House) -> None:
    [weekly] = [
        found for found in recurring_documents(house.entry.settings, house.environment) if found.name == "weekly"
    ]
    assert (weekly.cron, weekly.timezone, weekly.enabled) == ("0 7 * * 1", "Europe/Berlin", True)


def test_every_profile_of_the_reviews_is_good(house: House, ollama: str) -> None:
    house.variables["OLLAMA_HOST"] = ollama
    document = house.folder / "examples/reviews.yaml"
    hashes = {house.accept(document, Overrides(profile=profile))[0].hash for profile in (None, "production", "local")}
    assert len(hashes) == 3
