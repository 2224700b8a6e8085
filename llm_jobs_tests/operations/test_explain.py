"""What `explain` tells: the resolved job, which is the same job, and where each value was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_jobs_tests.cli.house import House

PROMPT = """\
model: careful
parameters: {temperature: 0.1, tone: dry, top_p: 0.7}
schema: {type: string}
text: Say {{ text }}
"""
STACK = """\
parameters:
  - {name: language, default: English}
prompts:
  - {name: stacked, text: "In ${language}: {{ text }}", max_tokens: 5}
  - {name: said, version: ^1}
"""
JOB = """\
job:
  name: explained
  description: for ${TEAM}
  labels: {plain: "$${TEAM} stays"}
  input: {rows: [{id: 1, text: good}]}
  prompts:
    - name: said
      version: ^1
      parameters: {tone: warm}
    - name: inline
      model: simulated
      temperature: 0.3
      max_tokens: 20
      text: "A ${{ said }} $${TEAM}"
      api_key: ${EXPLAIN_API_KEY}
  execution: {concurrency: 3}
  profiles:
    fast:
      max_tokens: 9
      execution: {timeout: 5}
      prompts: [{name: inline, model: careful}]
"""
STACKED = """\
job:
  name: stacked
  model: simulated
  stack: twice
  input: {rows: [{text: good}]}
"""
TEMPLATE = """\
template:
  name: made
  parameters:
    - {name: tone}
    - {name: words, type: integer, default: 3}
  job:
    name: ${job_name}
    model: simulated
    input: {rows: [{text: "a ${tone}"}]}
    prompts:
      - {name: said, text: "Say {{ text }}", parameters: {words: "${words}", more: "${tone}!"}}
"""
GRAPH = """\
job:
  name: graph
  model: simulated
  input: {rows: [{id: 1, text: good, team: a}, {id: 2, text: bad, team: b}]}
  steps:
    - {name: asked, prompt: said, version: ~1.0}
    - name: either
      first_of:
        - {name: quick, prompt: said, temperature: 0, when: "text != 'bad'"}
        - {name: slow, text: "Slow {{ text }}", models: {a: 1, simulated: 2}, on_status: {empty: ask_again}}
    - {name: shown, task: split_paragraphs, inputs: {text: "{{ asked }}"}, needs: [asked]}
    - {name: kept, filter: "text != 'none'"}
    - {name: swept, text: "Say {{ text }}", for_each_model: [simulated/a, simulated/b]}
    - {name: counted, reduce: {by: [team], aggregate: {rows: count}}}
  profiles:
    other: {temperature: 0.7, steps: [{name: slow, max_tokens: 3}, {name: asked, version: ^1.2}]}
"""
PHASES = """\
job:
  name: phases
  model: simulated
  input: {rows: [{text: good}, {text: bad}]}
  phases:
    - {name: mapped, prompt: said, parallel: true}
    - {name: reduced, prompt: whole}
"""
SECRET = "sk-very-secret-value"


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(
        tmp_path,
        {
            "LLM_JOBS_DOCUMENT_VARIABLES": "TEAM",
            "ANTHROPIC_API_KEY": "sk-ant-of-nobody",
            "TEAM": "the ${TEAM} #1",
            "EXPLAIN_API_KEY": SECRET,
        },
    )
    for name, text in {
        "prompts/said/1.0.0.yaml": "text: old {{ text }}",
        "prompts/said/1.2.0.yaml": PROMPT,
        "prompts/whole/1.0.0.yaml": 'text: "{% for row in rows %}{{ row.text }}{% endfor %}"',
        "stacks/twice/1.0.0.yaml": STACK,
        "models.yaml": "careful: {provider: simulated, model: large}\na: {provider: simulated, model: a}\n",
    }.items():
        path = made.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made.write("job.yaml", JOB)
    made.write("stacked.yaml", STACKED)
    made.write("template.yaml", TEMPLATE)
    made.write("graph.yaml", GRAPH)
    made.write("phases.yaml", PHASES)
    made.write("mine.json", [{"text": "mine"}])  # type: ignore[arg-type]
    return made


def explained(house: House, *arguments: str) -> dict[str, Any]:
    result = house.invoke("explain", *arguments, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def value(document: Any, key: str) -> Any:
    for part in key.replace("[", ".[").split("."):
        document = document[int(part[1:-1])] if part.startswith("[") else document[part]
    return document


FAST = ("job.yaml", "--profile", "fast")
ORIGINS: list[tuple[tuple[str, ...], str, Any, dict[str, Any]]] = [
    (("job.yaml",), "name", "explained", {"kind": "document", "file": "job.yaml", "line": 2}),
    (("job.yaml",), "prompts[1].temperature", 0.3, {"kind": "document", "line": 12}),
    (("job.yaml",), "execution.concurrency", 3, {"kind": "document", "line": 16}),
    (FAST, "prompts[1].model", "careful", {"kind": "profile", "name": "fast", "line": 21}),
    (FAST, "prompts[1].max_tokens", 9, {"kind": "profile", "name": "fast", "line": 19}),
    (FAST, "prompts[0].max_tokens", 9, {"kind": "profile", "name": "fast", "line": 19}),
    (FAST, "execution.timeout", 5, {"kind": "profile", "name": "fast", "line": 20}),
    (FAST, "execution.concurrency", 3, {"kind": "document", "line": 16}),
    (
        (*FAST, "--param", "max_tokens=4"),
        "prompts[1].max_tokens",
        4,
        {"kind": "option", "name": "--param max_tokens", "line": None},
    ),
    (("job.yaml", "--param", "tone=cold"), "prompts[0].parameters.tone", "cold", {"name": "--param tone"}),
    (("job.yaml", "--model", "simulated/x"), "model", "simulated/x", {"kind": "option", "name": "--model"}),
    (("job.yaml", "--epoch", "w1"), "epoch", "w1", {"kind": "option", "name": "--epoch"}),
    (("job.yaml", "--concurrency", "8"), "execution.concurrency", 8, {"kind": "option", "name": "--concurrency"}),
    (
        ("job.yaml",),
        "prompts[0].text",
        "Say {{ text }}",
        {"kind": "library", "name": "said@1.2.0", "file": "said/1.2.0.yaml", "line": 4},
    ),
    (("job.yaml",), "prompts[0].model", "careful", {"kind": "library", "line": 1}),
    (("job.yaml",), "prompts[0].parameters.top_p", 0.7, {"kind": "library", "line": 2}),
    (("job.yaml",), "prompts[0].schema.type", "string", {"kind": "library", "line": 3}),
    (("job.yaml",), "prompts[0].parameters.tone", "warm", {"kind": "document", "line": 9}),
    (("job.yaml",), "description", "for the $${TEAM} #1", {"kind": "variable", "name": "TEAM", "line": 3}),
    (("job.yaml",), "labels.plain", "$${TEAM} stays", {"kind": "document", "line": 4}),
    (
        ("job.yaml",),
        "prompts[1].api_key",
        "${EXPLAIN_API_KEY}",
        {"kind": "variable", "name": "EXPLAIN_API_KEY (withheld)", "line": 15},
    ),
    (("job.yaml",), "priority", "cold", {"kind": "default", "line": None}),
    (("job.yaml",), "execution.timeout", 300.0, {"kind": "default"}),
    (("job.yaml",), "execution.retry_on_failure", 8, {"kind": "default"}),
    (("job.yaml",), "prompts[0].operation", "chat", {"kind": "default"}),
    (
        ("job.yaml", "--model", "anthropic/claude"),
        "prompts[0].max_tokens",
        4096,
        {"kind": "default", "name": "of the model"},
    ),
    (("job.yaml", "--model", "anthropic/claude"), "prompts[1].max_tokens", 20, {"kind": "document", "line": 13}),
    (
        ("stacked.yaml",),
        "prompts[0].max_tokens",
        5,
        {"kind": "stack", "name": "twice@1.0.0", "line": 4},
    ),
    (
        ("stacked.yaml",),
        "prompts[0].text",
        "In English: {{ text }}",
        {"kind": "parameter", "name": "language (its default)", "line": 4},
    ),
    (
        ("stacked.yaml", "--param", "language=German"),
        "prompts[0].text",
        "In German: {{ text }}",
        {"kind": "parameter", "name": "language"},
    ),
    (("stacked.yaml",), "model", "simulated", {"kind": "document", "line": 3}),
    (
        ("template.yaml", "--param", "tone=glad"),
        "prompts[0].parameters.more",
        "glad!",
        {"kind": "parameter", "name": "tone", "file": "template.yaml", "line": 11},
    ),
    (
        ("template.yaml", "--param", "tone=glad"),
        "prompts[0].parameters.words",
        3,
        {"kind": "parameter", "name": "words (its default)"},
    ),
    (("graph.yaml",), "steps[0].text", "old {{ text }}", {"kind": "library", "name": "said@1.0.0"}),
    (
        ("graph.yaml", "--profile", "other"),
        "steps[0].text",
        "Say {{ text }}",
        {"kind": "library", "name": "said@1.2.0"},
    ),
    (
        ("graph.yaml", "--profile", "other"),
        "steps[1].first_of[1].max_tokens",
        3,
        {"kind": "profile", "name": "other", "line": 16},
    ),
    (("graph.yaml",), "steps[2].inputs.text", "{{ asked }}", {"kind": "document", "line": 11}),
    (("phases.yaml",), "phases[0].version", "1.2.0", {"kind": "library", "name": "said@1.2.0"}),
    (("template.yaml", "--param", "tone=glad"), "model", "simulated", {"kind": "template", "name": "made", "line": 8}),
]


@pytest.mark.parametrize(("arguments", "key", "expected", "origin"), ORIGINS)
def test_a_value_is_told_with_where_it_was_written(
    house: House, arguments: tuple[str, ...], key: str, expected: Any, origin: dict[str, Any]
) -> None:
    told = explained(house, *arguments)
    assert value(told["document"]["job"], key) == expected
    found = told["origins"][f"job.{key}"]
    assert {name: found[name] for name in origin} == origin


CASES = [
    ("job.yaml",),
    FAST,
    (*FAST, "--param", "max_tokens=4", "--param", "tone=cold"),
    ("job.yaml", "--model", "simulated/x", "--epoch", "w1"),
    ("job.yaml", "--input", "mine.json"),
    ("job.yaml", "--model", "anthropic/claude"),
    ("stacked.yaml", "--param", "language=German"),
    ("graph.yaml",),
    ("graph.yaml", "--profile", "other", "--param", "top_p=0.2"),
    ("phases.yaml",),
    ("phases.yaml", "--param", "temperature=0.2"),
    ("template.yaml", "--param", "tone=a '${TEAM}' # {{ x }}"),
]


@pytest.mark.parametrize("arguments", CASES)
def test_what_is_told_is_a_document_of_the_same_job(house: House, arguments: tuple[str, ...]) -> None:
    result = house.invoke("explain", *arguments)
    assert result.exit_code == 0, result.output
    house.write("told.yaml", result.stdout)
    again = house.invoke("validate", "told.yaml", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["job_hash"] == explained(house, *arguments)["job_hash"]


@pytest.mark.parametrize("arguments", CASES)
def test_every_value_has_an_origin(house: House, arguments: tuple[str, ...]) -> None:
    told = explained(house, *arguments)
    for key, origin in told["origins"].items():
        assert value(told["document"], key) is not None
        assert origin["kind"] in ("option", "default") or origin["line"] >= 1


def test_the_text_says_it_behind_each_value(house: House) -> None:
    lines = house.invoke("explain", *FAST).stdout.splitlines()
    assert lines[0].startswith("# job.yaml: job ")
    assert "  name: explained  # line 2" in lines
    assert "      max_tokens: 9  # profile fast, line 19" in lines
    assert "      text: Say {{ text }}  # library said@1.2.0, said/1.2.0.yaml:4" in [
        line.replace('"', "") for line in lines
    ]
    assert "  priority: cold  # default" in lines


def test_no_secret_is_told(house: House) -> None:
    assert SECRET not in house.invoke("explain", "job.yaml").output
    assert SECRET not in json.dumps(explained(house, "job.yaml"))


def test_a_lock_holds_for_explain_too(house: House) -> None:
    assert house.invoke("lock", "job.yaml").exit_code == 0
    (house.home / "prompts/said/1.9.0.yaml").write_text("text: newer {{ text }}")
    assert explained(house, "job.yaml")["origins"]["job.prompts[0].text"]["name"] == "said@1.2.0"


def test_several_models_are_several_jobs(house: House) -> None:
    result = house.invoke("explain", "job.yaml", "--model", "simulated/a", "--model", "simulated/b")
    assert result.stdout.count("---\n") == 1
    assert "simulated/b  # --model" in result.stdout


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("pair.json", '{"configuration": {"model": "simulated"}, "prompt": "x"}', "nothing to explain"),
        ("bad.yaml", "job: {name: x, promts: []}", "unknown key 'promts'"),
        ("none.yaml", None, "there is no document 'none.yaml'"),
    ],
)
def test_what_cannot_be_explained_is_refused(house: House, name: str, text: str | None, what: str) -> None:
    if text is not None:
        house.write(name, text)
    result = house.invoke("explain", name)
    assert result.exit_code == 2
    assert what in result.output
