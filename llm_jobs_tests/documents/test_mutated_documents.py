"""Documents that are good, damaged at random: each is accepted or refused, and a refusal can be acted on.

A key is dropped, misspelt or said of another value; a value gets another type, or another value's place. Whatever comes
of it, nothing but a refusal is raised, and it has the file, the line, the rule and the remedy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError, LlmJobsError, SetupError
from llm_jobs.operations.deferring import check_pipeline
from llm_jobs.operations.examine import examine_named
from llm_jobs.operations.services import Services
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.reference.stage import BLOCKS, library

MUTATIONS = 40
ODD = [None, True, 7, -1, 0.5, "", "x", "{{ a", "{{ b }}", "${A}", [], ["x"], {}, {"x": 1}, "2x", "* * * * *", 10**12]
PAIR = {"configuration": {"LLM_name": "gpt-4", "temperature": 0.5}, "prompt": {"base": "Say", "append": "hello."}}
GRAPH = {
    "nodes": [
        {"id": "a", "type": "text_generation", "input": {"prompt": "Say", "model": "gpt-4"}},
        {"id": "b", "type": "text_summary", "input": {"text": "hello", "model": "gpt-4"}},
    ],
    "edges": [{"id": "1", "sourceTaskId": "a", "targetTaskId": "b"}],
}
STEPS = {
    "job": {
        "name": "steps",
        "model": "gpt-4",
        "input": {"rows": [{"text": "a", "n": 1}, {"text": "b", "n": 2}]},
        "steps": [
            {"name": "kept", "filter": "n > 1"},
            {"name": "parts", "task": "split_paragraphs", "inputs": {"text": "{{ text }}"}},
            {"name": "said", "text": "Say {{ text }}", "when": "n == 2", "schema": {"type": "object"}},
            {"name": "all", "reduce": {"by": ["n"], "aggregate": {"rows_of": "count"}}},
        ],
        "on_status": {"truncated": {"ask_again": {"max_tokens": "2x"}}},
        "error_handling": {"on_prompt_failure": {"strategy": "skip"}, "failure_threshold": "5%"},
        "schedule": {"cron": "0 9 * * 1", "timezone": "UTC"},
        "alerts": [{"condition": "error_rate > 0.1", "action": "log"}],
        "profiles": {"fast": {"temperature": 0}},
    }
}
WRITTEN: dict[str, Any] = {"pair": PAIR, "graph": GRAPH, "steps": STEPS}
WHOLE = [
    path for path in sorted(BLOCKS.iterdir()) if path.read_text(encoding="utf-8").startswith(("job:", "pipeline:"))
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("house"))
    library(house.home)
    return house


@pytest.fixture(scope="module")
def services(house: House) -> Iterator[Services]:
    with house.entry.open_services() as services:
        yield services


def paths_of(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value but the whole."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        yield (*at, key)
        yield from paths_of(item, (*at, key))


def inside(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def mutated(value: Any, random: Random) -> Any:
    """A copy with one mistake."""
    value = json.loads(json.dumps(value))
    path = random.choice(list(paths_of(value)))
    here, key = inside(value, path[:-1]), path[-1]
    kind = random.choice(["drop", "odd", "swap", "misspell"])
    if kind == "drop":
        del here[key]
    elif kind == "misspell" and isinstance(here, dict):
        here[key[:-2] + key[-1:] if len(key) > 2 else key + "x"] = here.pop(key)
    elif kind == "swap":
        here[key] = json.loads(json.dumps(inside(value, random.choice(list(paths_of(value))))))
    else:
        here[key] = random.choice(ODD)
    return value


def refusal(services: Services, path: Path) -> LlmJobsError | None:
    try:
        if check_pipeline(services, str(path)) is None:
            examine_named(services, str(path))
    except LlmJobsError as error:
        return error
    return None


def check(refused: LlmJobsError) -> None:
    """A refusal has what its reader needs; of what the environment lacks, the place and the remedy are in the text."""
    if not isinstance(refused, DocumentError):
        assert str(refused).startswith("document.json:") == isinstance(refused, SetupError), str(refused)
        assert "; " in str(refused)
        return
    for problem in refused.problems:
        assert problem.file, str(problem)
        assert problem.line or Path(problem.file).suffix not in (".json", ".yaml"), str(problem)
        assert problem.what, str(problem)
        assert problem.rule, str(problem)
        assert problem.remedy, str(problem)


@pytest.mark.parametrize("name", [*WRITTEN, *(path.name for path in WHOLE)])
def test_a_damaged_document_is_accepted_or_refused_with_line_rule_and_remedy(
    house: House, services: Services, name: str
) -> None:
    text = None if name in WRITTEN else (BLOCKS / name).read_text(encoding="utf-8")
    good = WRITTEN[name] if text is None else read_yaml(name, text).value
    random = Random(name)
    path = house.folder / "document.json"
    refused = []
    for _ in range(MUTATIONS):
        path.write_text(json.dumps(mutated(good, random), indent=1))
        refused += [error for error in (refusal(services, path),) if error is not None]
    assert refused
    for error in refused:
        check(error)
    assert services.ledger.latest_jobs(5) == []


def test_a_document_that_is_not_damaged_is_good(house: House) -> None:
    for document in WRITTEN.values():
        house.write("document.json", document)
        assert house.invoke("validate", "document.json").exit_code == 0


def test_validate_looks_at_every_document_and_tells_problems_as_json(house: House) -> None:
    house.write("good.json", PAIR)
    house.write("bad.yaml", "job:\n  nam: x\n")
    result = house.invoke("validate", "--json", "bad.yaml", "gone.yaml", "good.json")
    bad, gone, good = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 2
    assert {problem["line"] for problem in bad["problems"]} == {1, 2}
    assert all(problem["rule"] and problem["remedy"] for problem in bad["problems"])
    assert "gone.yaml" in gone["problems"][0]["what"]
    assert good["calls"] == 1
