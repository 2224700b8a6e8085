"""Where `${NAME}` is filled in, where it stays a name, and where it is refused: in steps of every kind alike."""

from __future__ import annotations

from typing import Any

import pytest

from llm_jobs.documents.parsed import ParsedPrompt, every_step
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError

STEP = "name: a, model: '${M}', endpoint: '${E}', api_key: '${OPENAI_API_KEY}'"
VARIABLES = {"M": "mine", "E": "https://host.example/v1"}
LISTS = [
    "prompts: [{%s, text: t}]",
    "steps: [{%s, text: t}]",
    "steps: [{name: b, steps: [{%s, text: t}]}]",
    "steps: [{name: b, first_of: [{name: c, steps: [{%s, text: t}]}, {name: d, text: t, model: m}]}]",
]


def step(job: str, **options: Any) -> ParsedPrompt:
    [document] = parse_document("v.yaml", f"job: {{name: x, {job}}}".encode(), **options)
    return next(each for each in every_step(document.steps) if isinstance(each, ParsedPrompt))


@pytest.mark.parametrize("listed", LISTS)
def test_references_in_a_step_are_filled_or_kept_at_any_depth(listed: str) -> None:
    found = step(listed % STEP, variables=VARIABLES)
    assert (found.model, found.endpoint, found.api_key) == ("mine", "https://host.example/v1", "OPENAI_API_KEY")


@pytest.mark.parametrize("listed", [text.replace("text: t", "text: '${M}'", 1) for text in LISTS])
def test_no_reference_is_filled_into_a_prompt_at_any_depth(listed: str) -> None:
    with pytest.raises(DocumentError, match="is not filled in here"):
        step(listed % "name: a, model: m", variables=VARIABLES)


@pytest.mark.parametrize(
    "said", ["model: '${M}'", "models: ['${M}']", "models: [{name: '${M}', weight: 1}]", "for_each_model: ['${M}']"]
)
def test_the_names_of_models_are_filled_however_they_are_said(said: str) -> None:
    assert step(f"steps: [{{name: a, text: t, {said}}}]", variables=VARIABLES).model == "mine"


def test_a_phase_s_model_is_filled() -> None:
    assert step("phases: [{name: a, prompt: p, model: '${M}'}]", variables=VARIABLES).model == "mine"


def test_a_profile_s_references_are_filled_where_the_job_s_are() -> None:
    profile = "{model: '${M}', prompts: [{name: a, api_key: '${OPENAI_API_KEY}'}]}"
    found = step(f"prompts: [{{name: a, text: t}}], profiles: {{it: {profile}}}", variables=VARIABLES, profile="it")
    assert (found.model, found.api_key) == ("mine", "OPENAI_API_KEY")


def test_a_profile_that_is_not_chosen_needs_no_variable() -> None:
    assert step("model: m, prompts: [{name: a, text: t}], profiles: {it: {model: '${UNSET}'}}").model == "m"


def test_a_template_s_profile_may_name_a_credential() -> None:
    job = "{name: x, model: m, prompts: [{name: a, text: t}], profiles: {it: {prompts: [{name: a, api_key: '${K}'}]}}}"
    [document] = parse_document("t.yaml", f"template: {{name: t, job: {job}}}".encode(), profile="it")
    assert isinstance(document.steps[0], ParsedPrompt)
    assert document.steps[0].api_key == "K"
