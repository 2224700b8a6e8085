"""`@llm_asset`: a prompt over a table of somebody's own Dagster project.

    @llm_asset(text="Good or bad? {{ review }}", model="openai/gpt-4.1-mini", partitions_def=DAILY)
    def mood(reviews: pd.DataFrame) -> pd.DataFrame:
        return reviews

A partition asks its own rows, and a row that was answered before is not asked again. No annotations from the future
here: Dagster reads them.
"""

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from llm_jobs.documents.identity import hash_of
from llm_jobs.operations.outlines import outline_of
from llm_jobs.operations.records import JobReport
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.asking import FACTS, Question
from llm_jobs.orchestration.hosted import reading
from llm_jobs.orchestration.step_specs import EVERY_ROW_ANSWERED, kinds_of, providers_of_steps

CONTEXT = "context"


def llm_asset(
    *,
    text: str | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    prompt: str | None = None,
    version: str | None = None,
    model: str | None = None,
    schema: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    column: str | None = None,
    job: Mapping[str, Any] | None = None,
    facts: Sequence[str] = FACTS,
    home: str | Path | None = None,
    **asset: Any,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make the function that is decorated an asset: the table that it returns, with an answer to each row.

    The function is what `dg.asset` takes: its arguments are the assets, the resources and the configuration that it
    reads, and `context`. It returns a pandas DataFrame, a pyarrow Table, or another table that Arrow reads (polars);
    the asset is of the same kind and is handed to the IO manager of the project.

    `text`, `messages` or `prompt` (of the library, with `version`): what is asked of each row. `model`, `schema`,
    `parameters`: as a prompt of a document states them. `column`: the answers' column, else the function's name; a
    schema makes one per property, as in a document. `facts`: which of the columns `llm_…` are kept. `job`: other
    sections of a document (`execution`, `on_status`, …). `home`: the home folder, else as the command line finds it.
    The rest is `dg.asset`'s.

    Raises DocumentError, NotFound or SetupError, where it decorates, for what cannot be asked.
    """

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        key = _key(function, asset)
        stated = {
            "text": text,
            "messages": messages and [dict(message) for message in messages],
            "prompt": prompt,
            "version": version,
            "model": model,
            "schema": schema and dict(schema),
            "parameters": parameters and dict(parameters),
        }
        step = {name: value for name, value in stated.items() if value is not None}
        question = Question(
            name="_".join(key.path),
            step={"name": column or key.path[-1], **step},
            job=dict(job or {}),
            facts=tuple(facts),
            home=None if home is None else Path(home),
        )
        return _asset(function, key, question, asset)

    return decorate


def _asset(
    function: Callable[..., Any], key: dg.AssetKey, question: Question, asset: Mapping[str, Any]
) -> dg.AssetsDefinition:
    with reading(question.home) as services:
        outline = outline_of(services, question.path(services), question.document(Path("table.parquet")))
    providers = providers_of_steps(outline.steps)
    check = dg.AssetCheckSpec(EVERY_ROW_ANSWERED, asset=key, description="Every row has an answer.")
    told = {
        "description": inspect.getdoc(function),
        "kinds": kinds_of(outline.steps),
        "code_version": hash_of([step.identity() for step in outline.steps]),
        "pool": providers[0] if len(providers) == 1 else None,
    }
    own = {name: value for name, value in asset.items() if name not in ("name", "key_prefix", "key")}
    checks = [*own.pop("check_specs", ()), check]
    made: dg.AssetsDefinition = dg.asset(key=key, check_specs=checks, **{**told, **own})(
        _answering(function, key, question)
    )
    return made


def _answering(function: Callable[..., Any], key: dg.AssetKey, question: Question) -> Callable[..., Any]:
    """What Dagster calls: it takes what `function` takes, and the context."""
    taken = _parameters(function)

    def answer(context: Any, **given: Any) -> dg.MaterializeResult[Any]:
        table = function(**({CONTEXT: context} if CONTEXT in taken else {}), **given)
        value, report = question.asked(table, context)
        return dg.MaterializeResult(asset_key=key, value=value, metadata=_told(report), check_results=[_check(report)])

    own = [parameter for name, parameter in taken.items() if name != CONTEXT]
    first = inspect.Parameter(CONTEXT, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer.__signature__ = inspect.Signature([first, *own])  # type: ignore[attr-defined]
    answer.__annotations__ = {each.name: each.annotation for each in own if each.annotation is not each.empty}
    answer.__name__ = answer.__qualname__ = function.__name__
    answer.__module__ = function.__module__
    return answer


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters with their types, where those can be had when the code runs."""
    try:
        types = typing.get_type_hints(function, include_extras=True)
    except NameError:  # imported for type checkers alone
        types = {}
    return {
        name: parameter.replace(
            annotation=types.get(name, inspect.Parameter.empty), kind=inspect.Parameter.POSITIONAL_OR_KEYWORD
        )
        for name, parameter in inspect.signature(function).parameters.items()
    }


def _key(function: Callable[..., Any], asset: Mapping[str, Any]) -> dg.AssetKey:
    if asset.get("key") is not None:
        return dg.AssetKey.from_coercible(asset["key"])
    prefix = asset.get("key_prefix") or []
    return dg.AssetKey([*([prefix] if isinstance(prefix, str) else prefix), asset.get("name") or function.__name__])


def _told(report: JobReport) -> dict[str, Any]:
    return evidence.result_metadata(report) | {"job hash": report.job_hash}


def _check(report: JobReport) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=EVERY_ROW_ANSWERED,
        passed=report.failed == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"failed rows": report.failed, "rows": report.rows},
    )
