"""The JSON Schema of documents, for editors and other programs: what the models say, the short forms they take, and
what keys mean together (`schema_rules`).

Invariant: what the reader accepts as it stands, with no profile chosen, the schema accepts. The other way round it is
only nearly so: names of models, columns and paths are judged where the document is read (`llm-jobs validate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from llm_jobs.documents.formats.batch import OPERATION_OF_URL
from llm_jobs.documents.formats.pipeline_of_jobs import PipelineDocument
from llm_jobs.documents.graph_models import PipelineModel, TaskGraphModel, TaskMessageModel
from llm_jobs.documents.models import JobDocument, JobModel, PairDocument
from llm_jobs.documents.schema_forms import SHORT_FORMS
from llm_jobs.documents.schema_profiles import PARTIAL, partial, profile_schema
from llm_jobs.documents.schema_rules import RULES
from llm_jobs.documents.schema_texts import TEXTS
from llm_jobs.documents.schema_words import Schema, present, where
from llm_jobs.documents.strict import Model
from llm_jobs.documents.templates import TemplateDocument

SchemaName = Literal["job", "pair", "pipeline", "task_graph", "task_message", "batch"]
NAMES: tuple[SchemaName, ...] = get_args(SchemaName)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: Mapping[SchemaName, tuple[type[Model], ...]] = {
    "job": (JobDocument, TemplateDocument, PipelineDocument),
    "pair": (PairDocument,),
    "pipeline": (PipelineModel,),
    "task_graph": (TaskGraphModel, JobModel),
    "task_message": (TaskMessageModel,),
    "batch": (),
}
_LISTS = ("prompts", "steps", "phases")


def document_schema(name: SchemaName) -> Schema:
    """The schema of a kind of documents. `job`: jobs, templates, pipelines of jobs; `batch`: one line of the file."""
    parts: dict[str, Schema] = {}
    for model in _MODELS[name]:
        schema = model.model_json_schema(by_alias=True)
        parts |= schema.pop("$defs", {})
        parts[model.__name__] = schema
    for owner, part in parts.items():
        _finish(owner, part)
    if "JobModel" in parts:
        _add_profiles(parts)
    if name == "job":
        parts["TemplateModel"]["properties"]["job"] |= {"propertyNames": _keys_of(parts["JobModel"])}
    whole = _WHOLE[name](parts)
    return {"$schema": _DIALECT, "title": f"llm-jobs: {name}", **whole, "$defs": dict(sorted(parts.items()))}


def _finish(owner: str, part: Schema) -> None:
    """Widen the short forms, tell of every key, and say what keys mean together."""
    part.pop("title", None)
    properties: dict[str, Schema] = part.get("properties", {})
    for key, value in properties.items():
        value.pop("title", None)
        widen = SHORT_FORMS.get(f"{owner}.{key}") or SHORT_FORMS.get(key)
        wider = widen(value) if widen else value
        properties[key] = {"description": TEXTS.get(f"{owner}.{key}") or TEXTS[key], **wider}
    if owner in RULES:
        part["allOf"] = RULES[owner]


def _add_profiles(parts: dict[str, Schema]) -> None:
    """What a profile may hold: the same sections with no key needed, null to take one away, and its short keys."""
    profile = profile_schema(parts["JobModel"])
    for owner in [owner for owner in parts if owner not in ("JobDocument", "TemplateDocument", "PipelineDocument")]:
        parts[f"{PARTIAL}{owner}"] = partial(owner, parts[owner])
    parts["Profile"] = profile
    parts["JobModel"]["properties"]["profiles"]["additionalProperties"] = {"$ref": "#/$defs/Profile"}
    _drop_unused(parts)


def _drop_unused(parts: dict[str, Schema]) -> None:
    roots = [owner for owner in parts if not owner.startswith(PARTIAL)]
    used: set[str] = set()
    waiting = list(roots)
    while waiting:
        owner = waiting.pop()
        if owner not in used:
            used.add(owner)
            waiting += _references(parts[owner])
    for owner in set(parts) - used:
        del parts[owner]


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for each in value for name in _references(each)]
    if not isinstance(value, dict):
        return []
    here = [str(value["$ref"]).rpartition("/")[2]] if isinstance(value.get("$ref"), str) else []
    return here + [name for each in value.values() for name in _references(each)]


def _keys_of(part: Schema) -> Schema:
    return {"enum": sorted(part["properties"])}


def _job(parts: Mapping[str, Schema]) -> Schema:
    """By the key that tells what the document is, so that an editor tells of that kind's mistakes only."""
    of_pipelines = where(present("pipeline"), _ref("PipelineDocument"), _ref("JobDocument"))
    return {"type": "object", **where(present("template"), _ref("TemplateDocument"), of_pipelines)}


def _task_graph(parts: dict[str, Schema]) -> Schema:
    """A graph with what a job may say beside it, or a list of tasks."""
    graph, job = parts["TaskGraphModel"], parts.pop("JobModel")
    beside = {key: value for key, value in job["properties"].items() if key not in _LISTS}
    graph["properties"] = {**beside, **graph["properties"]}
    graph["additionalProperties"] = False
    graph["allOf"] = [*graph["allOf"], *(rule for rule in job["allOf"] if "not" not in rule)]
    tasks: Schema = {"type": "array", "minItems": 1, "items": _ref("TaskItemModel")}
    return where({"type": "array"}, tasks, _ref("TaskGraphModel"))


def _task_message(parts: Mapping[str, Schema]) -> Schema:
    """A message, or a list of them."""
    properties = parts["TaskMessageModel"]["properties"]
    properties["type"], properties["inputs"] = properties["task_type"], properties["payload"]
    messages: Schema = {"type": "array", "minItems": 1, "items": _ref("TaskMessageModel")}
    return where({"type": "array"}, messages, _ref("TaskMessageModel"))


def _batch(parts: Mapping[str, Schema]) -> Schema:
    """A line, whose body is the vendor's."""
    members: Mapping[str, Schema] = {
        "custom_id": {"type": "string", "minLength": 1},
        "method": {"const": "POST"},
        "url": {"enum": list(OPERATION_OF_URL)},
        "body": {"type": "object", "required": ["model"]},
    }
    told = {key: {"description": TEXTS[f"batch.{key}"], **member} for key, member in members.items()}
    return {"type": "object", "required": list(members), "additionalProperties": False, "properties": told}


def _ref(owner: str) -> Schema:
    return {"$ref": f"#/$defs/{owner}"}


_Whole = Callable[[dict[str, Schema]], Schema]
_WHOLE: Mapping[SchemaName, _Whole] = {
    "job": _job,
    "pair": lambda parts: _ref("PairDocument"),
    "pipeline": lambda parts: _ref("PipelineModel"),
    "task_graph": _task_graph,
    "task_message": _task_message,
    "batch": _batch,
}
