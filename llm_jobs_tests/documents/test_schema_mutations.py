"""Shown documents with something wrong in them: the reader tells of it, and the schema refuses nothing that it takes.

Each document is changed at random places, by a seed: keys go, are misspelt or added, values are another's.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from llm_jobs.documents.parsing import parse_document, read_pipeline
from llm_jobs.documents.schema import SchemaName
from llm_jobs.documents.stacks import StackText
from llm_jobs.documents.strict import Model
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError
from llm_jobs_tests.docs.test_formats import every_model
from llm_jobs_tests.documents.test_schema_documents import DOCUMENTS, problems

MUTANTS = 6
VALUES: Sequence[Any] = (None, 0, 1, -1, 2.5, "", "x", True, False, [], {}, ["a"], {"a": 1}, "on", "5%", "${NAME}")
ENVIRONMENT = {"LLM_JOBS_DOCUMENT_VARIABLES": "NAME,API_ENDPOINT", "NAME": "x", "API_ENDPOINT": "https://a.example/v1"}
# Without templates, of which the reader sees the job when their parameters are given.
CHANGED = [each for each in DOCUMENTS if not (isinstance(each[2], dict) and "template" in each[2])]

Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    if at:
        yield at
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from places(inner, (*at, key))


def within(value: Any, at: Place) -> Any:
    for key in at:
        value = value[key]
    return value


POOL = [(form, at[-1], within(value, at)) for _, form, value in CHANGED for at in places(value)]


def mutant(form: SchemaName, value: Any, random: Random) -> Any:
    value = copy.deepcopy(value)
    at = random.choice(list(places(value)))
    parent, key = within(value, at[:-1]), at[-1]
    change = random.choice(["drop", "set", "swap", "add", "misspell"])
    if change == "drop":
        del parent[key]
    elif change == "set":
        parent[key] = copy.deepcopy(random.choice(VALUES))
    elif change == "swap":
        parent[key] = copy.deepcopy(random.choice(POOL)[2])
    elif isinstance(parent, dict) and change == "add":
        _, other, found = random.choice([each for each in POOL if each[0] == form and isinstance(each[1], str)])
        parent[other] = copy.deepcopy(found)
    elif isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    return value


def is_read(form: SchemaName, value: Any) -> bool:
    """Whether the reader takes it as a document of that format; anything else than DocumentError fails."""
    text = json.dumps(value).encode()
    try:
        if form == "job" and read_pipeline("document.json", text) is not None:
            return True
        file = "document.jsonl" if form == "batch" else "document.json"
        parsed = parse_document(file, text, stacks=stack, environment=ENVIRONMENT)
    except DocumentError:
        return False
    return parsed[0].format == form


def stack(name: str, version: str | None) -> StackText:
    source = read_yaml("stack.yaml", "prompts: [{name: said, text: Say it., model: simulated}]")
    return StackText(name=name, version=version or "1.0.0", source=source)


@pytest.mark.parametrize(("name", "form", "value"), CHANGED, ids=[each[0] for each in CHANGED])
def test_what_is_wrong_is_told_and_the_schema_refuses_nothing_that_is_read(
    name: str, form: SchemaName, value: Any
) -> None:
    random = Random(name)
    for _ in range(MUTANTS):
        changed = mutant(form, value, random)
        found = problems(form, changed)
        assert not (found and is_read(form, changed)), (found, changed)


@pytest.mark.parametrize("value", [*VALUES, [None], {"a": None}, [[]], [{}]], ids=json.dumps)
def test_any_value_of_any_key_is_read_or_refused(value: Any) -> None:
    for model in every_model(Model):
        for name, field in model.model_fields.items():
            with suppress(ValidationError):
                model.model_validate({field.alias or name: value})
