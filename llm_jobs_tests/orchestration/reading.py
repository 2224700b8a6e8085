"""What a test reads from an instance: the same that the catalogue shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from llm_jobs.orchestration.partitions import JOBS


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The keys of an asset by the state in which the page shows them."""

    materialized: set[str]
    failed: set[str]
    in_progress: set[str]


def shown(instance: dg.DagsterInstance, asset_key: dg.AssetKey) -> Shown:
    cache = get_and_update_asset_status_cache_value(instance, asset_key, JOBS)
    if cache is None:
        return Shown(materialized=set(), failed=set(), in_progress=set())
    return Shown(
        materialized=set(cache.deserialize_materialized_partition_subsets(JOBS).get_partition_keys()),
        failed=set(cache.deserialize_failed_partition_subsets(JOBS).get_partition_keys()),
        in_progress=set(cache.deserialize_in_progress_partition_subsets(JOBS).get_partition_keys()),
    )


def materializations(instance: dg.DagsterInstance, asset_key: dg.AssetKey) -> Counter[str | None]:
    """How often each partition was materialised."""
    records = instance.fetch_materializations(asset_key, limit=1_000).records
    return Counter(record.partition_key for record in records)


def unsynced(
    instance: dg.DagsterInstance, definitions: dg.Definitions, keys: Iterable[dg.AssetKey]
) -> set[dg.AssetKey]:
    """Those of the unpartitioned assets that the page calls unsynced."""
    graph = definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return {key for key in keys if resolver.get_status(key) == StaleStatus.STALE}


def check_results(instance: dg.DagsterInstance, run_id: str) -> dict[tuple[str, str | None], bool]:
    """(check, partition) -> passed, as evaluated in a run."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [log.get_dagster_event().asset_check_evaluation_data for log in logs]
    return {(check.check_name, check.partition): check.passed for check in found}
