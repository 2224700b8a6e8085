"""Order, layout, syntax, names and policy never change what a document means; each word that is asked does."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.documents.job import Policy
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.parsing import detect, parse_document

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), min_size=1, max_size=20).filter(
    lambda text: "${" not in text and text.isprintable()
)
SCALARS = WORDS | st.integers(-1000, 1000) | st.booleans() | st.none() | st.sampled_from(["NO", "1.0", "~", "007"])
COLUMNS = st.sampled_from(["id", "review", "lang", "Text mit Ü", "n"])
ROWS = st.lists(st.dictionaries(COLUMNS, SCALARS, min_size=1), min_size=1, max_size=4)
PARAMETERS = st.dictionaries(st.sampled_from(["seed", "top_p", "tone", "stop"]), SCALARS)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": WORDS}),
    min_size=1,
    max_size=3,
)
Members = dict[str, st.SearchStrategy[Any]]
PROMPT: Members = {"name": st.sampled_from(["a", "b", "c"]), "model": WORDS, "messages": MESSAGES}
PROMPT_OPTIONS: Members = {"parameters": PARAMETERS, "temperature": st.floats(0, 2), "max_tokens": st.just(5)}
PROMPTS = st.lists(
    st.fixed_dictionaries(PROMPT, optional=PROMPT_OPTIONS),
    min_size=1,
    max_size=3,
    unique_by=lambda prompt: prompt["name"],
)
JOB: Members = {"name": WORDS, "input": st.fixed_dictionaries({"rows": ROWS}), "prompts": PROMPTS}
JOB_OPTIONS: Members = {
    "sample": st.integers(1, 5),
    "epoch": WORDS,
    "execution": st.just({"concurrency": 3}),
}
JOBS = st.fixed_dictionaries({"job": st.fixed_dictionaries(JOB, optional=JOB_OPTIONS)})
PAIRS = st.fixed_dictionaries(
    {
        "configuration": PARAMETERS.map(lambda parameters: {"LLM_name": "m", **parameters}),
        "prompt": WORDS | st.fixed_dictionaries({"base": WORDS}, optional={"prepend": WORDS, "data": WORDS}),
    }
)


def shuffled(value: Any, seed: int) -> Any:
    """The same value with the members of every mapping in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        random.Random(seed).shuffle(items)
        return {key: shuffled(item, seed) for key, item in items}
    return [shuffled(item, seed) for item in value] if isinstance(value, list) else value


def parsed(file: str, text: str) -> ParsedDocument:
    (document,) = parse_document(file, text.encode())
    return document


class Quoting(yaml.SafeDumper):
    """Quotes every text: which words need quotes PyYAML decides by the rules of YAML 1.1."""


def as_yaml(value: Any, *, flow: bool) -> str:
    """Flow style with double quotes, or block style with single quotes."""
    Quoting.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, '"' if flow else "'")
    )
    return yaml.dump(value, Dumper=Quoting, allow_unicode=True, default_flow_style=flow, sort_keys=False, width=40)


@settings(max_examples=50)
@given(JOBS, st.integers(0, 1000), st.booleans())
def test_order_layout_and_syntax_never_change_what_a_job_means(job: Any, seed: int, flow: bool) -> None:
    plain = parsed("a.json", json.dumps(job))
    assert plain == parsed("b.json", json.dumps(shuffled(job, seed), indent=3, ensure_ascii=False))
    assert plain == parsed("c.yaml", as_yaml(shuffled(job, seed), flow=flow))


@settings(max_examples=50)
@given(PAIRS, st.integers(0, 1000), st.booleans())
def test_order_layout_and_syntax_never_change_what_a_pair_means(pair: Any, seed: int, flow: bool) -> None:
    plain = parsed("a.json", json.dumps(pair))
    assert plain == parsed("a.json", json.dumps(shuffled(pair, seed), indent=3, ensure_ascii=False))
    assert plain == parsed("a.yaml", as_yaml(shuffled(pair, seed), flow=flow))


@settings(max_examples=50)
@given(PAIRS)
def test_the_name_of_a_file_is_the_name_of_a_pair_and_nothing_else(pair: Any) -> None:
    one, two = (parsed(file, json.dumps(pair)) for file in ("one.json", "two.json"))
    assert replace(one, name=two.name) == two


@settings(max_examples=50)
@given(JOBS)
def test_policy_and_names_never_reach_what_is_asked(job: Any) -> None:
    other = json.loads(json.dumps(job))
    other["job"] |= {"name": "other", "version": "9", "priority": "hot", "execution": {"concurrency": 7, "timeout": 1}}
    one, two = parsed("a.json", json.dumps(job)), parsed("b.json", json.dumps(other))
    assert replace(one, name="", policy=Policy()) == replace(two, name="", policy=Policy())
    assert one.policy != two.policy


@settings(max_examples=50)
@given(JOBS, st.data())
def test_any_change_of_what_is_asked_is_another_meaning(job: Any, data: st.DataObject) -> None:
    other = json.loads(json.dumps(job))
    prompt = data.draw(st.sampled_from(other["job"]["prompts"]))
    change = data.draw(st.sampled_from(["model", "content", "role", "parameter", "row", "sample", "epoch"]))
    if change == "model":
        prompt["model"] += "x"
    elif change in ("content", "role"):
        message = data.draw(st.sampled_from(prompt["messages"]))
        message[change] = message["content"] + "x" if change == "content" else "developer"
    elif change == "parameter":
        prompt.setdefault("parameters", {})["another"] = None
    elif change == "row":
        data.draw(st.sampled_from(other["job"]["input"]["rows"]))["another"] = None
    else:
        other["job"][change] = 9 if change == "sample" else "another epoch of another job"
    assert parsed("a.json", json.dumps(job)) != parsed("a.json", json.dumps(other))


def test_the_content_decides_the_format() -> None:
    pair = json.dumps({"configuration": {}, "prompt": "x"}).encode()
    request = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m"}}'
    assert [detect(file, pair) for file in ("a", "a.json", "a.yaml", "a.txt")] == ["pair"] * 4
    assert [detect(file, b"job: {name: x}") for file in ("a", "a.yaml", "a.yml")] == ["job"] * 3
    assert [detect(file, request) for file in ("a", "a.json", "a.jsonl", "a.ndjson")] == ["batch"] * 4
