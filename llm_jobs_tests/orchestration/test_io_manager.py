"""What a user's own asset gets when it takes `results`. No annotations from the future here: Dagster reads them."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from llm_jobs.errors import NotFound
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.build import build_definitions, in_process
from llm_jobs.orchestration.coverage import RANGE_END_TAG, RANGE_START_TAG
from llm_jobs.orchestration.partitions import JOBS, register
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key

Taken = list[Any]


def take(
    instance: dg.DagsterInstance,
    use_cases: FakeUseCases,
    asset: dg.AssetsDefinition,
    *,
    partition_key: str | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Materialise a user's `asset` beside the project's own definitions."""
    ours = build_definitions(resources=in_process(use_cases, Audience()))
    everything = dg.Definitions.merge(ours, dg.Definitions(assets=[asset]))
    job_definition = everything.resolve_implicit_job_def_def_for_assets([asset.key])
    assert job_definition is not None
    job_definition.execute_in_process(
        instance=instance, asset_selection=[asset.key], partition_key=partition_key, tags=tags
    )


@pytest.fixture
def three(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> FakeUseCases:
    """Three jobs with a result, and one without."""
    use_cases.submit(job(0, name="reviews"), job(1, name="letters"), job(2, name="reviews"), job(3))
    register(instance, [key(number) for number in range(4)])
    list(use_cases.run_jobs([key(0), key(1), key(2)], listener=print, run_id=""))
    return use_cases


def unpartitioned(taken: Taken) -> dg.AssetsDefinition:
    @dg.asset
    def report(results: pd.DataFrame) -> None:
        taken.append(results)

    return report


def as_table(taken: Taken) -> dg.AssetsDefinition:
    @dg.asset
    def report(results: pa.Table) -> None:
        taken.append(results)

    return report


def latest_reviews(taken: Taken) -> dg.AssetsDefinition:
    @dg.asset(ins={"results": dg.AssetIn(metadata={"latest_of": "reviews"})})
    def report(results: pa.Table) -> None:
        taken.append(results)

    return report


def partitioned(taken: Taken) -> dg.AssetsDefinition:
    @dg.asset(partitions_def=JOBS)
    def report(results: pd.DataFrame) -> None:
        taken.append(results)

    return report


@pytest.mark.parametrize(("asset", "kind"), [(unpartitioned, pd.DataFrame), (as_table, pa.Table)])
def test_an_unpartitioned_asset_takes_every_result_as_the_type_that_it_names(
    instance: dg.DagsterInstance,
    three: FakeUseCases,
    asset: Callable[[Taken], dg.AssetsDefinition],
    kind: type,
) -> None:
    taken: Taken = []
    take(instance, three, asset(taken))
    assert isinstance(taken[0], kind)
    table = taken[0] if isinstance(taken[0], pa.Table) else pa.Table.from_pandas(taken[0])
    assert table.column("llm_job").to_pylist() == [key(0), key(1), key(2)]


def test_an_asset_takes_the_newest_result_of_a_name(instance: dg.DagsterInstance, three: FakeUseCases) -> None:
    taken: Taken = []
    take(instance, three, latest_reviews(taken))
    assert taken[0].column("llm_job").to_pylist() == [key(2)]


def test_a_partitioned_asset_takes_its_own_partition(instance: dg.DagsterInstance, three: FakeUseCases) -> None:
    taken: Taken = []
    take(instance, three, partitioned(taken), partition_key=key(1))
    assert list(taken[0]["llm_job"]) == [key(1)]


def test_a_partitioned_asset_takes_a_range(instance: dg.DagsterInstance, three: FakeUseCases) -> None:
    taken: Taken = []
    take(instance, three, partitioned(taken), tags={RANGE_START_TAG: key(1), RANGE_END_TAG: key(2)})
    assert list(taken[0]["llm_job"]) == [key(1), key(2)]


def test_a_partition_without_a_result_is_an_error(instance: dg.DagsterInstance, three: FakeUseCases) -> None:
    with pytest.raises(NotFound, match="has no result"):
        take(instance, three, partitioned([]), partition_key=key(3))
