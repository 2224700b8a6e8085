"""The JSON Schema of documents, for editors and other programs: what the models say, and the short forms they take.

Invariant: what the reader accepts, the schema accepts. The other way round it is only nearly so: what keys mean
together, names of models and paths are judged where the document is read (`llm-jobs validate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from llm_jobs.documents.formats.pipeline_of_jobs import PipelineDocument
from llm_jobs.documents.models import JobDocument, PairDocument
from llm_jobs.documents.schema_texts import TEXTS
from llm_jobs.documents.strict import Model
from llm_jobs.documents.templates import TemplateDocument

SchemaName = Literal["job", "pair"]
NAMES: tuple[SchemaName, ...] = get_args(SchemaName)

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DOCUMENTS: Mapping[SchemaName, tuple[type[Model], ...]] = {
    "job": (JobDocument, TemplateDocument, PipelineDocument),
    "pair": (PairDocument,),
}
_TEXT: Schema = {"type": "string"}
_ON_OFF: Schema = {"enum": ["on", "off"]}
_RULES: Schema = {"enum": ["give_up", "ask_again", "repair", "fallback"]}


def document_schema(name: SchemaName) -> Schema:
    """The schema of a kind of documents: `job` (jobs, templates, pipelines of jobs) or `pair`."""
    whole: list[Schema] = []
    parts: dict[str, Schema] = {}
    for model in _DOCUMENTS[name]:
        schema = model.model_json_schema(by_alias=True)
        parts |= schema.pop("$defs", {})
        parts[model.__name__] = schema
        whole.append({"$ref": f"#/$defs/{model.__name__}"})
    for owner, part in parts.items():
        _finish(owner, part)
    choice = whole[0] if len(whole) == 1 else {"anyOf": whole}
    return {"$schema": _DIALECT, "title": f"llm-jobs: {name}", **choice, "$defs": dict(sorted(parts.items()))}


def _finish(owner: str, part: Schema) -> None:
    """Widen the short forms, and tell of every key."""
    part.pop("title", None)
    properties: dict[str, Schema] = part.get("properties", {})
    for key, value in properties.items():
        value.pop("title", None)
        widen = _SHORT_FORMS.get(f"{owner}.{key}") or _SHORT_FORMS.get(key)
        wider = widen(value) if widen else value
        properties[key] = {"description": TEXTS.get(f"{owner}.{key}") or TEXTS[key], **wider}


def _or(*others: Schema) -> Callable[[Schema], Schema]:
    """Beside what the model says, one of `others`."""

    def widened(value: Schema) -> Schema:
        inner = {key: each for key, each in value.items() if key != "default"}
        kept = {"default": value["default"]} if "default" in value else {}
        return {"anyOf": [*others, *inner.get("anyOf", [inner])], **kept}

    return widened


def _instead(schema: Schema) -> Callable[[Schema], Schema]:
    return lambda value: schema


def _rules(value: Schema) -> Schema:
    rule: Schema = {"anyOf": [_RULES, {"$ref": "#/$defs/RuleModel"}]}
    rules: Schema = {"anyOf": [rule, {"type": "array", "minItems": 1, "items": rule}]}
    return {**value, "additionalProperties": rules}


_WEIGHTED: Schema = {"anyOf": [_TEXT, {"$ref": "#/$defs/WeightedModel"}]}
_WEIGHTS: Schema = {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1}
# The short forms that validators put into their long form before the models see them.
_SHORT_FORMS: Mapping[str, Callable[[Schema], Schema]] = {
    "models": _instead({"anyOf": [_WEIGHTS, {"type": "array", "minItems": 1, "items": _WEIGHTED}, {"type": "null"}]}),
    "on_status": _rules,
    "native": _or(_ON_OFF),
    "depends_on": _or(_TEXT),
    "recipients": _or(_TEXT),
    "auth": _or({"const": "bearer_token"}),
    "data": _or(_TEXT),
    "command": _or(_TEXT),
    "AskAgainModel.max_tokens": _instead(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?x$"}]}
    ),
    "failure_threshold": _or({"type": "string", "pattern": r"^[0-9]{1,2}(\.[0-9]+)? ?%$"}),
    "InputModel.rows": _or(_TEXT),
    "InputModel.paging": _or({"const": "link"}),
    "JobModel.output": _or({"$ref": "#/$defs/OutputModel"}),
    "LoggingModel.content": _or(_ON_OFF),
    "LoggingModel.level": _or({"enum": ["DEBUG", "INFO", "WARNING", "ERROR"]}),
    "MonitoringModel.export_to": _or({"const": "prometheus"}),
    "PairDocument.prompt": _or(_TEXT),
    "PipelineModel.jobs": lambda value: {**value, "items": {"anyOf": [_TEXT, value["items"]]}},
}
