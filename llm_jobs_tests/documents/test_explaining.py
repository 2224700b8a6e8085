"""Whatever a job, its profile and the options say: what is explained reads as the same job."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.choices import Choices
from llm_jobs.documents.explaining import FoundPrompt, explain
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsing import parse_document, read_source
from llm_jobs.documents.yaml_writing import write_yaml

NAMES = ["first", "second", "third"]
PARAMETERS = st.dictionaries(st.sampled_from(["tone", "seed", "top_p"]), st.integers(0, 9), max_size=3)
RULES = st.dictionaries(st.sampled_from(["empty", "refused"]), st.sampled_from(["give_up", "ask_again"]), max_size=2)


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with any of these keys."""
    return st.fixed_dictionaries({}, optional=keys)


MODELS = some(model=st.sampled_from(["a", "b"])) | some(models=st.just({"a": 1, "b": 2}))
ASKING = st.builds(
    lambda own, models, text: {**own, **models, "text": text},
    some(temperature=st.integers(0, 2), max_tokens=st.integers(1, 9), parameters=PARAMETERS, on_status=RULES),
    MODELS,
    st.sampled_from(["plain", "two\nlines {{ x }}", "a $${NAME} # not a comment", "'\"\\"]),
).map(lambda step: {**step, "parameters": without_own(step)})


def without_own(step: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in step.get("parameters", {}).items() if name not in step}


SECTIONS = some(
    labels=st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", "NO", "1"]), max_size=2),
    execution=some(timeout=st.integers(1, 9), concurrency=st.integers(1, 9)),
    error_handling=some(on_prompt_failure=some(max_retries=st.integers(0, 3))),
    priority=st.sampled_from(["hot", "cold"]),
    sample=st.integers(1, 3),
    epoch=st.sampled_from(["w1", "2026-01-01"]),
    description=st.text(max_size=5).filter(lambda text: "$" not in text),
    on_status=RULES,
)
PROFILE = st.builds(
    lambda sections, own, models, name: {**sections, **own, **models, "prompts": [{"name": name, "max_tokens": 7}]},
    SECTIONS,
    some(temperature=st.integers(0, 2), parameters=PARAMETERS, mode=st.sampled_from(["online", "batch"])),
    MODELS,
    st.sampled_from(NAMES),
)


@given(
    st.lists(ASKING, min_size=3, max_size=3),
    SECTIONS,
    PROFILE,
    st.none() | st.just("it"),
    st.dictionaries(st.sampled_from(["temperature", "seed", "top_k"]), st.integers(0, 9), max_size=2),
)
def test_what_is_explained_reads_as_the_same_job(
    asked: list[dict[str, Any]],
    sections: dict[str, Any],
    profile: dict[str, Any],
    chosen: str | None,
    parameters: dict[str, JsonValue],
) -> None:
    prompts = [{**step, "name": name} for name, step in zip(NAMES, asked, strict=True)]
    job = {"name": "j", "model": "m", **sections, "prompts": prompts, "profiles": {"it": profile}}
    text = json.dumps({"job": job}).encode()
    expected = parse_document("j.json", text, profile=chosen, parameters=parameters)
    told = explain(
        read_source("j.json", text),
        Choices(profile=chosen, parameters=parameters),
        find=never,
        options={},
        model_defaults=lambda model: {},
    )
    assert parse_document("j.yaml", write_yaml(told.source.value).encode()) == expected


def never(name: str, version: str | None) -> FoundPrompt:
    raise AssertionError(f"every prompt is in line, and {name} {version} was looked for")
