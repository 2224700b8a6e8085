"""`budgets.yaml` in the home folder: what a provider may cost per day, and a label per month (UTC).

providers:
  openai: {max_cost_usd: 50}
labels:
  team=search: {max_cost_usd: 500, max_tokens: 1000000000}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from llm_jobs.documents.job import Budget
from llm_jobs.documents.models import BudgetModel
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import Source, decode
from llm_jobs.documents.validation import did_you_mean, raise_if_any, validate
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import Problem
from llm_jobs.providers.vendors import VENDORS

_MAX_BYTES = 1024 * 1024
_LABEL = re.compile(r"[^=]+=.*", re.DOTALL)


class BudgetsModel(Model):
    providers: dict[str, BudgetModel] = Field(default_factory=dict)
    labels: dict[str, BudgetModel] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StatedBudgets:
    """Caps by provider kind, per UTC day, and by `name=value` of a label, per UTC month."""

    providers: Mapping[str, Budget] = field(default_factory=dict)
    labels: Mapping[str, Budget] = field(default_factory=dict)


def read_budgets(path: Path) -> StatedBudgets:
    """What the file states; nothing where there is none. Raises DocumentError with every problem."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return StatedBudgets()
    source = read_yaml(str(path), decode(str(path), content, max_bytes=_MAX_BYTES))
    stated, problems = validate(BudgetsModel, source, source.value or {})
    if stated is None:
        raise_if_any(problems)
    assert stated is not None
    raise_if_any([*problems, *_unknown(source, stated)])
    return StatedBudgets(
        providers={kind: _budget(model) for kind, model in stated.providers.items()},
        labels={label: _budget(model) for label, model in stated.labels.items()},
    )


def _unknown(source: Source, stated: BudgetsModel) -> Iterator[Problem]:
    for kind in stated.providers:
        if kind not in VENDORS:
            remedy = did_you_mean(kind, VENDORS, otherwise=f"write one of {', '.join(VENDORS)}")
            what = f"there is no provider {kind!r}"
            yield source.problem(("providers", kind), what, rule="a known kind", remedy=remedy)
    for label in stated.labels:
        if not _LABEL.fullmatch(label):
            rule = "a label is written with its value, as in team=search"
            remedy = f"write {label}=VALUE"
            yield source.problem(("labels", label), f"{label!r} names no label", rule=rule, remedy=remedy)


def _budget(model: BudgetModel) -> Budget:
    return Budget(max_cost_usd=model.max_cost_usd, max_tokens=model.max_tokens)
