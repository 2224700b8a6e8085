"""What keys mean together, as JSON Schema: which exclude each other, which need each other, by section.

Taken from the reader's own tables of keys where it has them. Invariant: what a rule refuses, the reader refuses. What
only the whole document or the machine can tell (names, columns, time zones, expressions) is not said here.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents import input_checks
from llm_jobs.documents.formats import launching, outputs
from llm_jobs.documents.formats.steps import KINDS, PROMPT_KEYS
from llm_jobs.documents.schedules import cron_pattern
from llm_jobs.documents.schema_words import (
    NULL,
    Schema,
    at_most_one,
    either,
    equal,
    exactly_one,
    filled,
    never,
    only,
    present,
    said,
    value,
    where,
)
from llm_jobs.documents.step_models import StepModel

_ASKING = ("text", "messages", "prompt", "version")
_OTHER_ROWS = ("split", "for_each", "for_each_model", "reduce")
_COMMON = {"name", "purpose"}
_FIRST = {"file": "path", "database": "table", "api": "endpoint"}
_FORMATS = {"database": ["columns", "json", None], "api": ["json", "jsonl", None]}
_OF_ALERTS = {"recipients": "email", "channel": "slack", "url": "webhook", "api_key": "webhook"}
_PLACEHOLDER = rf"\{{\{{(?!\s*({'|'.join(outputs.PLACEHOLDERS)})\s*\}}\}})[^{{}}]*\}}\}}"
# scheme://user:password@, where the password is no ${NAME}
_PASSWORD: Schema = {"type": "string", "pattern": r"^[^/]*://[^@:]*:(?!\$\{[A-Za-z_][A-Za-z0-9_]*\}@)[^@]+@"}
_WRITES = r"^\s*([Ii][Nn][Ss][Ee][Rr][Tt]|[Uu][Pp][Dd][Aa][Tt][Ee]|[Dd][Ee][Ll][Ee][Tt][Ee]|[Dd][Rr][Oo][Pp])\b"
_BY_NAME: Schema = {"anyOf": [{"type": "string", "pattern": r"^\s*\$\{[A-Za-z_][A-Za-z0-9_]*\}\s*$"}, NULL]}
_TIME: Schema = {"anyOf": [{"type": "string", "pattern": "^([01][0-9]|2[0-4]):[0-5][0-9](:[0-5][0-9])?$"}, NULL]}


def _aliases(names: frozenset[str]) -> set[str]:
    return {StepModel.model_fields[name].alias or name for name in names}


def _said_twice(key: str) -> Schema:
    """A parameter by a key of its own and under `parameters`."""
    both = {"required": [key, "parameters"], "properties": {key: {"not": NULL}, "parameters": present(key)}}
    return never(both)


_ONE_MODEL = [*at_most_one(("model", "models")), *at_most_one(("models", "fallback"))]
_PROMPT = [
    *at_most_one(("text", "messages")),
    *(never(said(key, "version")) for key in ("text", "messages")),
    *_ONE_MODEL,
    *(_said_twice(key) for key in ("temperature", "max_tokens")),
    where(equal("operation", "embeddings"), value("messages", {"maxItems": 1})),
    value("api_key", _BY_NAME),
]
_COMPUTES: Schema = {
    "required": ["aggregate"],
    "properties": {"aggregate": {"minProperties": 1}, "max_input_tokens": NULL, "combine": NULL},
}
_ASKS_NOTHING = {"allOf": [said("reduce"), *(never(said(key)) for key in _ASKING)]}
_KEEPING: Schema = {"items": never(either(*(said(key) for key in _OTHER_ROWS)))}
_STEP = [
    *(where(present(kind), only({*keys, *_COMMON})) for kind, keys in KINDS.items()),
    where(never(either(*(present(kind) for kind in KINDS))), only(_aliases(PROMPT_KEYS))),
    where(_ASKS_NOTHING, {"properties": {"reduce": _COMPUTES, "for_each_model": NULL}}),
    *(never(said("for_each_model", key)) for key in ("model", "models", "fallback")),
    {"properties": {"steps": _KEEPING, "first_of": _KEEPING}},
]
_FROM_A_RESULT: Schema = {"required": ["input"], "properties": {"input": said("result_of")}}
_JOB = [
    *(never(filled(*pair)) for pair in (("prompts", "steps"), ("prompts", "phases"), ("steps", "phases"))),
    *(never(present("stack", key)) for key in ("prompts", "steps", "phases")),
    *(where(present(key), said("stack")) for key in ("stack_version", "stack_parameters")),
    where(said("on_partial"), either(said("depends_on"), _FROM_A_RESULT)),
]

_ROWS_IN_LINE = {"required": ["rows"], "properties": {"rows": {"type": "array"}}}
_TABLES = {"inline": _ROWS_IN_LINE, **{of: said(key) for key, of in input_checks.DEFINING.items() if key != "rows"}}
_FETCHED = input_checks.EVERYWHERE - {"source"}
_INPUT = [
    where(never(only(_FETCHED)), either(*_TABLES.values())),
    *(where(is_so, only(input_checks.KEYS[kind] | input_checks.EVERYWHERE)) for kind, is_so in _TABLES.items()),
    *(where(equal("source", source), _TABLES[kind]) for source, kind in input_checks.KINDS.items()),
    where({"allOf": [said("body"), never(equal("method", "POST"))]}, never(present("endpoint"))),
    value("connection", never(_PASSWORD)),
    value("query", never({"type": "string", "pattern": _WRITES})),
]


def _destination(kind: str) -> Schema:
    keys = outputs.KEYS[kind] | outputs.OF_ALL
    allowed = [value("format", {"enum": _FORMATS[kind]})] if kind in _FORMATS else []
    return {"allOf": [only(keys), said(_FIRST[kind]), *allowed]}


_TO_FILES = never(equal("destination", "database", "api"))
_OUTPUT = [
    *(where(equal("destination", kind), _destination(kind)) for kind in ("database", "api")),
    where(
        _TO_FILES,
        {
            "allOf": [
                _destination("file"),
                value("path", never({"type": "string", "pattern": _PLACEHOLDER})),
                value("format", never({"const": "columns"})),
            ]
        },
    ),
    where(equal("mode", "upsert"), said("key")),
    where(said("key"), either(equal("mode", "upsert"), equal("format", "json"))),
    value("connection", never(_PASSWORD)),
]


def _types(keys: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> list[Schema]:
    """The keys of each `type`: those that it needs, and those that it may have."""
    return [
        where(equal("type", kind), {"allOf": [said(*needed), only({"type", *needed, *optional})]})
        for kind, (needed, optional) in keys.items()
    ]


_CHECK = {"type": "string", "pattern": r"^\s*([Ss][Ee][Ll][Ee][Cc][Tt]|[Ww][Ii][Tt][Hh])\b[^;]*;?\s*$"}
_ALERT = [
    *(where(never(equal("action", action)), value(key, NULL)) for key, action in _OF_ALERTS.items()),
    where(equal("action", "email"), said("recipients")),
    where(equal("action", "webhook"), said("url")),
]
_TEXTS = ("base", "prepend", "append", "data")

RULES: Mapping[str, list[Schema]] = {
    "JobModel": _JOB,
    "PromptModel": _PROMPT,
    "StepModel": [*_PROMPT, *_STEP],
    "CombineModel": [exactly_one(("text", "messages"))],
    "PartModel": [
        where(equal("type", "text"), {"allOf": [said("text"), only({"type", "text"})]}),
        where(equal("type", "image"), {"allOf": [exactly_one(("file", "url")), value("text", NULL)]}),
    ],
    "PhaseModel": [where(said("split_by"), never(said("prompt")), said("prompt"))],
    "BudgetModel": [either(said("max_cost_usd"), said("max_tokens"))],
    "CacheModel": [either(said("last_runs"), said("except"))],
    "RuleModel": [{"minProperties": 1, "maxProperties": 1}],
    "InputModel": _INPUT,
    "PagingModel": [
        {"oneOf": [present(key) for key in ("next", "link", "page", "offset")]},
        where(said("parameter"), said("next")),
        where(said("first"), either(said("page"), said("offset"))),
    ],
    "OutputModel": _OUTPUT,
    "OutputErrorModel": [
        where(equal("strategy", "fallback"), said("fallback"), value("fallback", NULL)),
        where(said("max_retries"), equal("strategy", "retry")),
    ],
    "PromptFailureModel": [where(equal("strategy", "fallback"), present("value"), never(present("value")))],
    "ScheduleModel": [value("cron", {"pattern": cron_pattern()})],
    "TriggerModel": _types(launching.TRIGGER_KEYS),
    "ConditionModel": [
        *_types(launching.CONDITION_KEYS),
        {"properties": {"start": _TIME, "end": _TIME, "check": {"anyOf": [_CHECK, NULL]}}},
        value("connection", never(_PASSWORD)),
    ],
    "LoggingModel": [where(equal("destination", "stdout", "stderr"), {"properties": {"path": NULL, "rotate": NULL}})],
    "AlertModel": _ALERT,
    "ConfigurationModel": [*at_most_one(("LLM_name", "model")), value("api_key", _BY_NAME)],
    "PairPromptModel": [
        where(said("script"), {"properties": {key: {"enum": [None, ""]} for key in ("base", "prepend", "append")}}),
        where(present("arguments"), either(said("script"), value("arguments", {"maxItems": 0}))),
        either(said("script"), *(said(key) for key in _TEXTS)),
    ],
    "TaskMessageModel": [
        *_ONE_MODEL,
        *(never(present(*pair)) for pair in (("task_type", "type"), ("payload", "inputs"))),
        where(
            never(either(said("task_type"), said("type"))),
            {"allOf": [exactly_one(("prompt", "messages")), value("payload", {"maxProperties": 0})]},
        ),
    ],
    "TaskGraphModel": [never(filled("tasks", "nodes")), never(filled("dataflows", "edges"))],
    "SubgraphModel": [never(filled("tasks", "nodes")), never(filled("dataflows", "edges"))],
}
