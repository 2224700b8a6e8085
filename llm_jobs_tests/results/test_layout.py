"""Names answer both questions: the results of a job, and the job of a result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.results.layout import epoch_of, is_result, job_of, result_path, step_of, step_path
from llm_jobs_tests.results.stores import JOB

EPOCHS = st.integers(0, 2**63 - 1)


@given(epoch_ns=EPOCHS, prefix=st.sampled_from(["", "/home/me/results/", "s3://bucket/of/results/", "relative/"]))
def test_the_job_and_the_epoch_of_a_result_are_in_its_path(epoch_ns: int, prefix: str) -> None:
    path = prefix + result_path(JOB, epoch_ns)
    assert (job_of(path), epoch_of(path), step_of(path)) == (JOB, epoch_ns, None)
    assert is_result(path.rpartition("/")[2])


@given(epoch_ns=EPOCHS, step=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_a_step_of_any_name_has_a_path_that_tells_it(epoch_ns: int, step: str) -> None:
    path = step_path(JOB, epoch_ns, step)
    assert (job_of(path), epoch_of(path), step_of(path)) == (JOB, epoch_ns, step)
    assert path.count("/") == 1
    assert not is_result(path.rpartition("/")[2])


@pytest.mark.parametrize("path", [f"{JOB}/notes.txt", f"{JOB}/x.parquet", f"{JOB}/.1.parquet.0a.llm-jobs-draft"])
def test_what_is_no_result_has_no_job(path: str) -> None:
    with pytest.raises(ValueError, match="is no result"):
        job_of(path)
