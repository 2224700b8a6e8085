"""`models.yaml`: names of models, each with its provider, upstream name, quota, price, size, key and allowed hosts.

An address that only stands under `base_url` gets no key: the file has to name the `key` beside it, or list the host
under `allowed_hosts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import Source, decode
from llm_jobs.documents.validation import did_you_mean, raise_if_any, validate
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.providers.entries import (
    DEAREST_PER_MILLION_USD,
    LONGEST_BURST_S,
    MOST,
    CatalogueEntry,
    Price,
    Quota,
    built_in_entry,
)
from llm_jobs.providers.vendors import VENDORS, checked_url, origin_of

_MAX_BYTES = 4 * 1024 * 1024
_Positive = Annotated[int, Field(gt=0, le=MOST)]
_Usd = Annotated[float, Field(ge=0, le=DEAREST_PER_MILLION_USD, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(gt=0, le=LONGEST_BURST_S, allow_inf_nan=False)]
_Weight = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]


class QuotaModel(Model):
    requests_per_minute: _Positive | None = None
    tokens_per_minute: _Positive | None = None
    input_tokens_per_minute: _Positive | None = None
    output_tokens_per_minute: _Positive | None = None
    requests_per_day: _Positive | None = None
    concurrency: _Positive | None = None
    burst_s: _Seconds | None = None


class PriceModel(Model):
    input_per_million_usd: _Usd
    output_per_million_usd: _Usd
    cached_input_per_million_usd: _Usd | None = None
    cache_write_per_million_usd: _Usd | None = None
    cache_write_1h_per_million_usd: _Usd | None = None


class EntryModel(Model):
    provider: str
    model: str | None = Field(default=None, min_length=1)
    base_url: str | None = None
    identity_url: str | None = None
    quota: QuotaModel = QuotaModel()
    price: PriceModel | None = None
    weight: _Weight = 1.0
    max_output_tokens: _Positive | None = None
    context_tokens: _Positive | None = None
    batch_price_factor: Annotated[float, Field(ge=0, le=1)] | None = None
    reserves: Literal["learned", "worst"] = "learned"
    allowed_hosts: list[str] | None = None
    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    refuses: list[str] | None = None
    defaults: dict[str, Any] | None = None


def read_models(file: str, content: bytes, *, environment: Mapping[str, str]) -> list[CatalogueEntry]:
    """The entries of a `models.yaml`. Raises DocumentError with every problem."""
    source = read_yaml(file, decode(file, content, max_bytes=_MAX_BYTES))
    if not isinstance(source.value, dict):
        remedy = "write `NAME: {provider: openai, model: UPSTREAM-NAME}`"
        raise DocumentError([source.problem((), "the file holds no models", rule="names and models", remedy=remedy)])
    problems: list[Problem] = []
    entries = []
    for name, value in source.value.items():
        below = Source(file, value, source.lines.children.get(name, source.lines))
        stated, found = validate(EntryModel, below, value)
        problems.extend(found)
        if stated is not None:
            entry, found = _entry(name, stated, below, environment)
            problems.extend(found)
            entries.extend([entry] if entry else [])
    raise_if_any(problems)
    return entries


def _entry(
    name: str, stated: EntryModel, source: Source, environment: Mapping[str, str]
) -> tuple[CatalogueEntry | None, list[Problem]]:
    if stated.provider not in VENDORS:
        remedy = did_you_mean(stated.provider, VENDORS, otherwise=f"write one of {', '.join(VENDORS)}")
        what = f"there is no provider {stated.provider!r}"
        return None, [source.problem(("provider",), what, value=stated.provider, rule="a known kind", remedy=remedy)]
    upstream = stated.model or name.removeprefix(f"{stated.provider}/")
    usual = built_in_entry(name, stated.provider, upstream, environment)
    try:
        model = _model(name, upstream, stated, usual)
        key_name, origins = _access(stated, usual, model)
    except DocumentError as error:
        return None, [_placed(problem, source) for problem in error.problems]
    return (
        CatalogueEntry(
            model=model,
            quota=Quota(**stated.quota.model_dump()),
            price=Price(**stated.price.model_dump()) if stated.price else usual.price,
            weight=stated.weight,
            max_output_tokens=stated.max_output_tokens,
            context_tokens=stated.context_tokens,
            batch_price_factor=stated.batch_price_factor,
            reserves=stated.reserves,
            key_name=key_name,
            allowed_origins=origins,
            refuses=None if stated.refuses is None else dict.fromkeys(stated.refuses, "leave it out (models.yaml)"),
            defaults={**usual.defaults, **(stated.defaults or {})},
            built_in=False,
        ),
        [],
    )


def _model(name: str, upstream: str, stated: EntryModel, usual: CatalogueEntry) -> ModelRef:
    identity_url = checked_url(stated.identity_url, named="identity_url") if stated.identity_url else None
    base_url = checked_url(stated.base_url, named="base_url") if stated.base_url else usual.model.base_url
    return ModelRef(
        name=name, provider=stated.provider, upstream=upstream, base_url=base_url, identity_url=identity_url
    )


def _access(stated: EntryModel, usual: CatalogueEntry, model: ModelRef) -> tuple[str | None, frozenset[str]]:
    """The key's variable and who may have it. Without `allowed_hosts`, a stated `key` is for the entry's address."""
    key_name = stated.key or usual.key_name
    if stated.allowed_hosts is not None:
        hosts = (host if "://" in host else f"https://{host}" for host in stated.allowed_hosts)
        return key_name, frozenset(origin_of(checked_url(host, named="allowed_hosts")) for host in hosts)
    if stated.key is not None and model.base_url:
        return key_name, frozenset({origin_of(model.base_url)})
    return key_name, usual.allowed_origins


def _placed(problem: Problem, source: Source) -> Problem:
    path = (problem.key,) if problem.key else ()
    return source.problem(path, problem.what, value=problem.value, rule=problem.rule, remedy=problem.remedy)
