"""Gives a user's own asset the `results` that it takes, as the type that it names.

One partition, a range, all, or the newest result of every job of one name (`dg.AssetIn(metadata={"latest_of": NAME})`).
Writes nothing: results are written by runs, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from llm_jobs.orchestration.partitions import registered
from llm_jobs.orchestration.use_cases import UseCases

if TYPE_CHECKING:  # a second and a half of start-up for those who load no results
    import pandas as pd

IO_MANAGER_KEY = "results_io_manager"
LATEST_OF = "latest_of"


class ResultsIOManager(dg.IOManager):
    """Loads results as a pandas DataFrame or a pyarrow Table.

    Both hold the columns of the results (the user's own, one per step, the facts `llm_*`) with `llm_job` before them.
    """

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Never reached: the assets that name this manager yield no output."""
        raise dg.DagsterInvariantViolationError("results are written by the runs that make them, not by an IO manager")

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | pa.Table:
        """The table of the partitions that the asset takes; unpartitioned assets take all that have a result.

        Raises NotFound if a partition that is asked for alone has no result.
        """
        table = self._table(context)
        wanted = context.dagster_type.typing_type
        if wanted is pa.Table:
            return table
        return table.to_pandas()

    def _table(self, context: dg.InputContext) -> pa.Table:
        latest_of = (context.definition_metadata or {}).get(LATEST_OF)
        if latest_of is not None:
            return self._use_cases.results_of(str(latest_of))
        keys = set(context.asset_partition_keys)  # Dagster gives them in no order
        return self._use_cases.results_table([key for key in registered(context.instance) if key in keys])
