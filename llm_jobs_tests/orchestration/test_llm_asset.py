"""A prompt over somebody's own table: the answers go through his own IO manager, and each row is paid once.

No annotations from the future here: Dagster reads them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from llm_jobs import llm_asset
from llm_jobs_tests.servers.replay import ReplayServer

MODEL = "openai/gpt-4.1-mini"
# Backfill policies of assets are in beta.
pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
DAYS = dg.DailyPartitionsDefinition(start_date="2026-10-01", end_date="2026-10-31")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@dataclass
class Shelf(dg.IOManager):
    """Tables by asset and day, as a warehouse keeps them: a run over several days writes and reads their rows."""

    tables: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        for day in self.days(context):
            name = context.asset_key.to_user_string()
            self.tables[name, day] = obj if day == "" else obj[obj["day"] == day].reset_index(drop=True)

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        name = context.asset_key.to_user_string()
        return pd.concat([self.tables[name, day] for day in self.days(context)], ignore_index=True)

    def days(self, context: Any) -> list[str]:
        return list(context.asset_partition_keys) if context.has_asset_partitions else [""]

    def rows(self, name: str) -> int:
        return sum(len(table) for (asset, _), table in self.tables.items() if asset == name)


def made(instance: dg.DagsterInstance, shelf: Shelf, *assets: Any, **more: Any) -> dg.ExecuteInProcessResult:
    resources = {"io_manager": shelf}
    return dg.materialize(assets, instance=instance, resources=resources, raise_on_error=False, **more)


def reviews_of(day: str) -> pd.DataFrame:
    return pd.DataFrame({"day": day, "review": [f"{day} was fine.", f"{day} was not."]})


@dg.asset
def reviews() -> pd.DataFrame:
    return pd.DataFrame({"review": ["Good.", "Bad.", "Fine."], "stars": pd.Series([5, 1, 3], dtype="int8")})


def test_an_asset_of_a_table_is_the_table_with_the_answers(server: ReplayServer, instance: dg.DagsterInstance) -> None:
    @llm_asset(text="Mood of: {{ review }}", model=MODEL)
    def mood(reviews: pd.DataFrame) -> pd.DataFrame:
        """How each writer feels."""
        return reviews[reviews["stars"] < 4]

    shelf = Shelf()
    result = made(instance, shelf, reviews, mood)
    assert result.success
    frame = shelf.tables["mood", ""]
    assert list(frame.columns) == ["review", "stars", "mood", "llm_status", "llm_error"]
    assert list(frame["mood"]) == ["echo: Mood of: Bad.", "echo: Mood of: Fine."]
    assert (list(frame.index), str(frame["stars"].dtype)) == ([1, 2], "int8")
    spec = mood.get_asset_spec()
    assert (spec.kinds, spec.description, mood.op.pool) == ({"llm", "openai"}, "How each writer feels.", "openai")
    [check] = result.get_asset_check_evaluations()
    assert check.passed
    assert made(instance, shelf, reviews, mood).success
    assert server.stats()["total"] == 2


def test_a_backfill_of_thirty_days_asks_each_row_once_a_run_per_day(
    server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    daily, mood = daily_assets(None)
    shelf = Shelf()
    for day in DAYS.get_partition_keys():
        assert made(instance, shelf, daily, mood, partition_key=day).success
    assert (len(DAYS.get_partition_keys()), shelf.rows("mood"), server.stats()["total"]) == (30, 60, 60)
    assert server.stats()["distinct"] == 60
    frame = shelf.tables["mood", "2026-10-07"]
    assert list(frame["mood"]) == ["echo: Mood of: 2026-10-07 was fine.", "echo: Mood of: 2026-10-07 was not."]


def test_a_backfill_of_thirty_days_in_one_run_asks_each_row_once_and_days_again_nothing(
    server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    daily, mood = daily_assets(dg.BackfillPolicy.single_run())
    shelf = Shelf()
    assert made(instance, shelf, daily, mood, tags=span("2026-10-01", "2026-10-30")).success
    assert (shelf.rows("mood"), server.stats()["total"]) == (60, 60)
    assert instance.get_materialized_partitions(mood.key) == set(DAYS.get_partition_keys())
    assert made(instance, shelf, daily, mood, partition_key="2026-10-05").success
    assert server.stats()["total"] == 60


def span(first: str, last: str) -> Mapping[str, str]:
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def daily_assets(policy: dg.BackfillPolicy | None) -> tuple[dg.AssetsDefinition, dg.AssetsDefinition]:
    """A table by day, and a prompt over it."""

    def daily(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return pd.concat([reviews_of(day) for day in context.partition_keys], ignore_index=True)

    def mood(daily: pd.DataFrame) -> pd.DataFrame:
        return daily

    return (
        dg.asset(partitions_def=DAYS, backfill_policy=policy)(daily),
        llm_asset(text="Mood of: {{ review }}", model=MODEL, partitions_def=DAYS, backfill_policy=policy)(mood),
    )


@pytest.mark.parametrize(
    "partitions", [dg.StaticPartitionsDefinition(["de", "fr"]), dg.DynamicPartitionsDefinition(name="langs")]
)
def test_partitions_of_any_kind_ask_their_own_rows(
    server: ReplayServer, instance: dg.DagsterInstance, partitions: dg.PartitionsDefinition[Any]
) -> None:
    instance.add_dynamic_partitions("langs", ["de", "fr"])

    @llm_asset(text="Say {{ word }} in {{ language }}", model=MODEL, partitions_def=partitions)
    def said(context: dg.AssetExecutionContext) -> pa.Table:
        return pa.table({"day": [context.partition_key], "language": [context.partition_key], "word": ["tree"]})

    tables: list[pa.Table] = []

    class Taking(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: pa.Table) -> None:
            tables.append(obj)

        def load_input(self, context: dg.InputContext) -> pa.Table:
            return tables[-1]

    for key in ("de", "fr"):
        assert dg.materialize([said], instance=instance, resources={"io_manager": Taking()}, partition_key=key).success
    assert [table["said"].to_pylist() for table in tables] == [["echo: Say tree in de"], ["echo: Say tree in fr"]]


def test_a_day_without_rows_asks_nothing_and_keeps_its_columns(
    server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    @llm_asset(text="Mood of: {{ review }}", model=MODEL)
    def mood(reviews: pd.DataFrame) -> pd.DataFrame:
        return reviews[:0]

    shelf = Shelf()
    assert made(instance, shelf, reviews, mood).success
    assert list(shelf.tables["mood", ""].columns) == ["review", "stars", "mood", "llm_status", "llm_error"]
    assert (shelf.rows("mood"), server.stats()["total"]) == (0, 0)


def test_a_row_that_fails_keeps_its_place_and_the_check_tells(
    server: ReplayServer, instance: dg.DagsterInstance
) -> None:
    @llm_asset(text="Mood of: {{ review }}", model=MODEL)
    def mood(reviews: pd.DataFrame) -> pd.DataFrame:
        return reviews.replace("Bad.", "poison")

    shelf = Shelf()
    result = made(instance, shelf, reviews, mood)
    assert result.success
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.metadata["failed rows"].value) == (False, 1)
    frame = shelf.tables["mood", ""]
    assert list(frame["llm_status"]) == ["succeeded", "failed", "succeeded"]
    assert frame["mood"].isna().to_list() == [False, True, False]


def test_what_is_no_table_is_refused_with_what_is_one(server: ReplayServer, instance: dg.DagsterInstance) -> None:
    @llm_asset(text="Mood of: {{ review }}", model=MODEL)
    def mood() -> Any:
        return ["Good."]

    result = made(instance, Shelf(), mood)
    [failure] = result.get_step_failure_events()
    assert failure.step_failure_data.error is not None
    assert "returned list; it returns a table" in failure.step_failure_data.error.message


class Frame:
    """A table of another library, which tells Arrow of itself."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def test_a_table_of_another_library_comes_back_as_one(server: ReplayServer, instance: dg.DagsterInstance) -> None:
    taken: list[Any] = []

    class Taking(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
            taken.append(obj)

        def load_input(self, context: dg.InputContext) -> Any:
            return taken[-1]

    @llm_asset(text="Mood of: {{ review }}", model=MODEL, column="answer", facts=())
    def mood() -> Frame:
        return Frame(pa.table({"review": ["Good."]}))

    assert dg.materialize([mood], instance=instance, resources={"io_manager": Taking()}).success
    [frame] = taken
    assert isinstance(frame, Frame)
    assert frame.table.to_pylist() == [{"review": "Good.", "answer": "echo: Mood of: Good."}]
