"""Partitions and backfill policies as `defs.yaml` writes them: Dagster's own forms, and dynamic ones.

From Python any `PartitionsDefinition` is taken as it is. No annotations from the future: Dagster reads them.
"""

from typing import Annotated, Any, Literal

import dagster as dg
from dagster.components.resolved.core_models import (
    DailyPartitionsDefinitionModel,
    HourlyPartitionsDefinitionModel,
    MultiRunBackfillPolicyModel,
    SingleRunBackfillPolicyModel,
    StaticPartitionsDefinitionModel,
    TimeWindowPartitionsDefinitionModel,
    WeeklyPartitionsDefinitionModel,
    resolve_backfill_policy,
    resolve_partitions_def,
)


class DynamicPartitionsDefinitionModel(dg.Resolvable, dg.Model):
    """Keys that are added while the project runs."""

    type: Literal["dynamic"] = "dynamic"
    name: str


def _partitions(context: dg.ResolutionContext, model: Any) -> dg.PartitionsDefinition[Any] | None:
    if isinstance(model, DynamicPartitionsDefinitionModel):
        return dg.DynamicPartitionsDefinition(name=str(context.resolve_value(model.name)))
    return resolve_partitions_def(context, model)


PartitionsField = Annotated[
    dg.PartitionsDefinition[Any] | None,
    dg.Resolver(
        _partitions,
        description="The partitions of every asset of the job: daily, hourly, weekly, time_window, static or dynamic.",
        model_field_type=HourlyPartitionsDefinitionModel
        | DailyPartitionsDefinitionModel
        | WeeklyPartitionsDefinitionModel
        | TimeWindowPartitionsDefinitionModel
        | StaticPartitionsDefinitionModel
        | DynamicPartitionsDefinitionModel
        | None,
    ),
]
BackfillField = Annotated[
    dg.BackfillPolicy | None,
    dg.Resolver(
        resolve_backfill_policy,
        description="Whether a backfill is one run, or a run per so many partitions (one, unless stated).",
        model_field_type=SingleRunBackfillPolicyModel | MultiRunBackfillPolicyModel | None,
    ),
]
