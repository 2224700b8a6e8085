"""The columns of a result: the user's, then each step's output, then the facts. Names and types; no values.

The facts of a row are those of the last call that was asked about it: status, error, models, finish reason, latency,
call hash, time. Tokens, cost and attempts are totals over all of the row's calls, those that followed a truncated or
invalid answer included (null where none stated them). The cost is what the job itself paid for the row, in whichever
run or batch; `llm_reused` says that every answer was another's. The prefix `llm_` is reserved whole, so that a fact
added later collides with nobody's column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from llm_jobs.errors import DocumentError, Problem

PREFIX = "llm_"
STATUS = "llm_status"
ERROR = "llm_error"
MODEL = "llm_model"
MODEL_ANSWERED = "llm_model_answered"
MODEL_REASON = "llm_model_reason"
PROMPT_TOKENS = "llm_prompt_tokens"
COMPLETION_TOKENS = "llm_completion_tokens"
CACHED_TOKENS = "llm_cached_tokens"
REASONING_TOKENS = "llm_reasoning_tokens"
COST_USD = "llm_cost_usd"
LATENCY_S = "llm_latency_s"
FINISH_REASON = "llm_finish_reason"
RAW = "llm_raw"
ATTEMPTS = "llm_attempts"
REUSED = "llm_reused"
CALL_HASH = "llm_call_hash"
EPOCH = "llm_epoch"
ANSWERED_AT = "llm_answered_at"
SAMPLE = "llm_sample"

# Added when results are read across jobs.
JOB = "llm_job"
SUBMITTED_AT = "llm_submitted_at"

UTC_TIME = pa.timestamp("us", tz="UTC")
FACTS: tuple[pa.Field, ...] = (
    pa.field(STATUS, pa.string()),
    pa.field(ERROR, pa.string()),
    pa.field(MODEL, pa.string()),  # as asked
    pa.field(MODEL_ANSWERED, pa.string()),  # as the provider names it
    pa.field(MODEL_REASON, pa.string()),  # why this model, where several may answer
    pa.field(PROMPT_TOKENS, pa.int64()),
    pa.field(COMPLETION_TOKENS, pa.int64()),
    pa.field(CACHED_TOKENS, pa.int64()),
    pa.field(REASONING_TOKENS, pa.int64()),
    pa.field(COST_USD, pa.float64()),
    pa.field(LATENCY_S, pa.float64()),
    pa.field(FINISH_REASON, pa.string()),
    pa.field(RAW, pa.string()),  # the text of an answer that is no success
    pa.field(ATTEMPTS, pa.int64()),
    pa.field(REUSED, pa.bool_()),
    pa.field(CALL_HASH, pa.string()),
    pa.field(EPOCH, pa.int64()),  # of the result, nanoseconds since 1970
    pa.field(ANSWERED_AT, UTC_TIME),
)


def fact_fields(*, sample: bool) -> tuple[pa.Field, ...]:
    """The facts of a result; with `llm_sample`, the number of the answer from 0, where a job asks for several."""
    return (*FACTS, pa.field(SAMPLE, pa.int64())) if sample else FACTS


def check_columns(input_columns: Iterable[str], output_columns: Iterable[str]) -> None:
    """Raise DocumentError where names collide: a step's output with an input column, another output or the facts."""
    taken: dict[str, str] = {}
    problems = []
    for name, origin in _origins(input_columns, output_columns):
        if name.startswith(PREFIX):
            problems.append(_collision(name, f"the {origin} {name} begins with {PREFIX}", f"{PREFIX}… names the facts"))
        elif name in taken:
            what = f"the {origin} {name} has the name of an {taken[name]}"
            problems.append(_collision(name, what, "columns have one name each"))
        else:
            taken[name] = origin
    if problems:
        raise DocumentError(problems)


def result_schema(input_fields: Iterable[pa.Field], output_fields: Sequence[pa.Field], *, sample: bool) -> pa.Schema:
    """The schema of a result. Raises DocumentError as `check_columns`."""
    inputs = list(input_fields)
    check_columns([field.name for field in inputs], [field.name for field in output_fields])
    return pa.schema([*inputs, *output_fields, *fact_fields(sample=sample)])


def _origins(inputs: Iterable[str], outputs: Iterable[str]) -> list[tuple[str, str]]:
    return [*((name, "input column") for name in inputs), *((name, "output column") for name in outputs)]


def _collision(name: str, what: str, rule: str) -> Problem:
    return Problem(what=what, key=name, rule=rule, remedy="rename the column, the step or the property")
