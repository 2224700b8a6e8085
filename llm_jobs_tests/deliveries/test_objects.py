"""Deliveries to an S3 bucket: put where nothing is, recognised where the same is, refused where something else is."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import s3fs

from llm_jobs.deliveries.objects import deliver
from llm_jobs.deliveries.subject import Delivered
from llm_jobs.documents.destinations import FileOutput
from llm_jobs.errors import DeliveryError, ImmutableError
from llm_jobs_tests.deliveries.results import SUBJECT, numbered, stored
from llm_jobs_tests.servers.s3 import S3Server

_numbers = itertools.count(1)


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    return s3.create_bucket(f"deliveries-{next(_numbers)}")


def delivered(path: str, rows: int = 3) -> Delivered:
    return deliver(stored(numbered(rows)), FileOutput(path=path, format="jsonl"), SUBJECT)


def test_an_object_is_put_once_and_recognised(bucket: str) -> None:
    path = f"{bucket}/out/{{{{ epoch_ns }}}}_{{{{ document }}}}.jsonl"
    first, again = delivered(path), delivered(path)
    assert first.destination == f"{bucket}/out/{SUBJECT.epoch_ns}_reviews.jsonl"
    assert (first.is_new, again.is_new, first.sha256) == (True, False, again.sha256)
    with s3fs.S3FileSystem(skip_instance_cache=True).open(first.destination) as stream:
        assert [json.loads(line)["id"] for line in stream] == [0, 1, 2]


def test_another_object_is_not_overwritten(bucket: str) -> None:
    delivered(f"{bucket}/table.jsonl", 3)
    with pytest.raises(ImmutableError, match=r"table\.jsonl holds something else already"):
        delivered(f"{bucket}/table.jsonl", 4)


def test_of_several_results_that_race_for_a_key_one_is_delivered(bucket: str) -> None:
    def attempt(rows: int) -> str | None:
        try:
            return delivered(f"{bucket}/table.jsonl", rows).sha256
        except ImmutableError:
            return None

    with ThreadPoolExecutor(4) as pool:
        digests = [digest for digest in pool.map(attempt, range(1, 5)) if digest is not None]
    assert len(digests) == 1


def test_a_bucket_that_is_not_there_is_an_error_that_says_what_to_look_at(bucket: str) -> None:
    with pytest.raises(DeliveryError, match=r"cannot be written: .*check the bucket, the credentials"):
        delivered(f"{bucket}-gone/table.jsonl")
