"""What an operator may set of a model while work goes on: the members, their rules, and what they make of an entry.

Invariant: a definition without `problems` can be put in force on the entry. Members that this program does not know (a
newer one wrote them) change nothing. Recording and reading definitions is not done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import Problem
from llm_jobs.providers.entries import (
    DEAREST_PER_MILLION_USD,
    LONGEST_BURST_S,
    MOST,
    CatalogueEntry,
    Price,
    Quota,
)

AS_STATED = "default"  # instead of a value: what models.yaml says, as if nothing had been set

LIMITS = tuple(field.name for field in fields(Quota))
PRICES = tuple(field.name for field in fields(Price))
MEMBERS = (*LIMITS, "weight", *PRICES)
_WHOLE = frozenset(LIMITS) - {"burst_s"}


def problems(stated: CatalogueEntry, before: Mapping[str, Any], definition: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with setting `definition` where models.yaml says `stated` and `before` was set earlier."""
    if not definition:
        remedy = "give at least one limit, weight or price"
        return [Problem(what=f"nothing to set for {stated.model.name}", rule=", ".join(MEMBERS), remedy=remedy)]
    found = [problem for name, value in definition.items() if (problem := _problem(name, value))]
    together = folded([before, definition])
    if not found and any(name in together for name in PRICES) and _price(stated.price, together) is stated.price:
        what = f"half a price for {stated.model.name}"
        rule = "a price is that of the input and that of the output, in USD per million tokens"
        found.append(Problem(what=what, rule=rule, remedy="set the other half too"))
    return found


def folded(definitions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What definitions of one model, oldest first, say together: of each member the newest."""
    together: dict[str, Any] = {}
    for definition in definitions:
        together.update(definition)
    return {name: value for name, value in together.items() if name in MEMBERS and value != AS_STATED}


def in_force(stated: CatalogueEntry, definition: Mapping[str, Any]) -> CatalogueEntry:
    """The entry of models.yaml with what was set (`folded`)."""
    limits = {name: value for name, value in definition.items() if name in LIMITS}
    return replace(
        stated,
        quota=replace(stated.quota, **limits),
        weight=definition.get("weight", stated.weight),
        price=_price(stated.price, definition),
    )


def _price(stated: Price | None, definition: Mapping[str, Any]) -> Price | None:
    values = {name: definition.get(name, getattr(stated, name, None)) for name in PRICES}
    if not any(name in definition for name in PRICES) or None in (values[PRICES[0]], values[PRICES[1]]):
        return stated
    return Price(**values)


def _problem(name: str, value: object) -> Problem | None:
    if name not in MEMBERS:
        remedy = did_you_mean(name, MEMBERS, otherwise=f"write one of {', '.join(MEMBERS)}")
        return Problem(what=f"{name!r} is nothing that can be set of a model", rule="a known member", remedy=remedy)
    if value == AS_STATED or (value is None and name in LIMITS):
        return None
    rule = _broken_rule(name, value)
    remedy = (
        "write none for no limit" if name in LIMITS else f"write a number, or {AS_STATED} for what models.yaml says"
    )
    return None if rule is None else Problem(what=f"{name} cannot be {value!r}", rule=rule, remedy=remedy)


def _broken_rule(name: str, value: object) -> str | None:
    if name in _WHOLE:
        fits = type(value) is int and 1 <= value <= MOST
        return None if fits else f"a whole number of at least 1 and at most {MOST:,}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    if name in PRICES:
        fits = 0 <= value <= DEAREST_PER_MILLION_USD
        return None if fits else f"USD per million tokens, at least 0 and at most {DEAREST_PER_MILLION_USD:,}"
    most = LONGEST_BURST_S if name == "burst_s" else MOST
    return None if 0 < value <= most else f"a number above 0 and at most {most:,}"
