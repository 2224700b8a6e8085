"""The short forms that validators put into their long form before the models see them, as JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llm_jobs.documents.schema_words import NULL, Schema
from llm_jobs.documents.watched import METRICS

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_ON_OFF: Schema = {"enum": ["on", "off"]}
_RULES: Schema = {"enum": ["give_up", "ask_again", "repair", "fallback"]}
_WEIGHTED: Schema = {"anyOf": [_TEXT, {"$ref": "#/$defs/WeightedModel"}]}
_WEIGHTS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, NULL]},
    "minProperties": 1,
}
_SHARES: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": r"^[0-9]{1,2}(\.[0-9]+)? ?%$"},
        NULL,
    ]
}


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


# By `Model.key`, or by the key alone where it is the same everywhere.
SHORT_FORMS: Mapping[str, Callable[[Schema], Schema]] = {
    "models": _instead({"anyOf": [_WEIGHTS, {"type": "array", "minItems": 1, "items": _WEIGHTED}, NULL]}),
    "on_status": _rules,
    "native": _or(_ON_OFF),
    "depends_on": _or(_TEXT),
    "recipients": _or(_TEXT),
    "auth": _or({"const": "bearer_token"}),
    "data": _or(_TEXT),
    "MessageModel.content": _or(_TEXT),
    "command": _or(_TEXT),
    "AskAgainModel.max_tokens": _instead(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?x$"}]}
    ),
    "failure_threshold": _instead(_SHARES),
    "InputModel.rows": _or(_TEXT),
    "InputModel.paging": _or({"const": "link"}),
    "JobModel.output": _or({"$ref": "#/$defs/OutputModel"}),
    "LoggingModel.content": _or(_ON_OFF),
    "LoggingModel.level": _or({"enum": ["DEBUG", "INFO", "WARNING", "ERROR"]}),
    "MonitoringModel.export_to": _or({"const": "prometheus"}),
    "MonitoringModel.metrics": lambda value: {**value, "items": {"enum": list(METRICS)}},
    "PairDocument.prompt": _or(_TEXT),
    "PipelineModel.jobs": lambda value: {**value, "items": {"anyOf": [_TEXT, value["items"]]}},
    "DataflowModel.sourceTaskId": _or(_NUMBER),
    "DataflowModel.targetTaskId": _or(_NUMBER),
    "DependencyModel.id": _or(_NUMBER),
    "TaskItemModel.id": _or(_NUMBER),
}
