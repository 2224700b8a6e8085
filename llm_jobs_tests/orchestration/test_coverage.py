"""How a set of jobs is put into runs, and read back from them."""

from __future__ import annotations

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.orchestration.coverage import (
    DEFERRED_TAG,
    MOST_JOBS_PER_RUN,
    OP_NAME,
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    Coverage,
    cover,
    covered,
)

REGISTERED = [f"{number:032x}" for number in range(60)]


def as_run(part: Coverage) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="run_jobs", run_config=part.run_config(OP_NAME), tags=part.tags())


@given(wanted=st.sets(st.sampled_from(REGISTERED)), shortest=st.integers(min_value=1, max_value=70))
def test_the_runs_cover_exactly_the_jobs_that_are_wanted_and_each_once(wanted: set[str], shortest: int) -> None:
    parts = cover(wanted, REGISTERED, shortest_range=shortest)
    keys = [job_hash for part in parts for job_hash in covered(as_run(part), REGISTERED, op_name=OP_NAME)]
    assert sorted(keys) == sorted(wanted)


@given(wanted=st.sets(st.sampled_from(REGISTERED)))
def test_at_most_one_run_is_a_list_and_a_range_has_no_gap(wanted: set[str]) -> None:
    parts = cover(wanted, REGISTERED, shortest_range=4)
    assert sum(not part.contiguous for part in parts) <= 1
    for part in parts:
        if part.contiguous:
            first = REGISTERED.index(part.job_hashes[0])
            assert tuple(REGISTERED[first : first + len(part.job_hashes)]) == part.job_hashes


def test_a_batch_that_was_registered_in_one_call_is_one_range() -> None:
    (part,) = cover(REGISTERED[3:20], REGISTERED)
    assert part.tags() == {RANGE_START_TAG: REGISTERED[3], RANGE_END_TAG: REGISTERED[19]}
    assert part.run_config(OP_NAME) == {}


def test_one_job_is_a_partition() -> None:
    (part,) = cover(REGISTERED[3:4], REGISTERED)
    assert part.tags() == {PARTITION_TAG: REGISTERED[3]}


def test_scattered_jobs_share_one_run_over_a_list() -> None:
    (part,) = cover([REGISTERED[9], REGISTERED[3], REGISTERED[30]], REGISTERED)
    assert part.tags() == {DEFERRED_TAG: "true"}
    assert part.job_hashes == (REGISTERED[3], REGISTERED[9], REGISTERED[30])


def test_more_jobs_than_a_run_takes_are_several_runs() -> None:
    many = [f"{number:032x}" for number in range(MOST_JOBS_PER_RUN + 1)]
    assert [len(part.job_hashes) for part in cover(many, many)] == [MOST_JOBS_PER_RUN, 1]
