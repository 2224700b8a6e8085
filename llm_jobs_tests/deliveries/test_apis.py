"""Deliveries to HTTP endpoints: batches in order, keys, waits, and what is not sent again."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from llm_jobs.deliveries.apis import Credentials, Means, deliver
from llm_jobs.deliveries.http import Channel, Response
from llm_jobs.deliveries.subject import Delivered
from llm_jobs.documents.destinations import ApiOutput
from llm_jobs.errors import DeliveryError, DeliveryRefused
from llm_jobs_tests.deliveries.endpoint import Endpoint, Told, endpoint
from llm_jobs_tests.deliveries.results import JOB, SUBJECT, numbered, stored

TOKEN = "s3cr3t-token"
CREDENTIALS = Credentials(headers={"Authorization": f"Bearer {TOKEN}", "X-Team": "nlp"}, secrets=(TOKEN,))


@dataclass
class Delivery:
    """One delivery of ten rows in batches of three: what it waited for, and what it was told was accepted."""

    waits: list[float] = field(default_factory=list)
    took: list[int] = field(default_factory=list)

    def to(
        self, there: Endpoint, *, retries: int = 3, accepted: Collection[int] = (), shows: bool = True, **stated: object
    ) -> Delivered:
        output = replace(ApiOutput(endpoint=there.url, retries=retries, timeout_s=5.0), **stated)  # type: ignore[arg-type]
        with Channel() as channel:
            return deliver(
                stored(numbered(10)),
                output,
                SUBJECT,
                credentials=CREDENTIALS,
                means=Means(send=channel, sleep=self.waits.append, random=Random(1), shows_answers=shows),
                batch_rows=3,
                accepted=accepted,
                took=lambda batch: self.took.append(batch.number),
            )


def test_rows_arrive_in_batches_each_with_a_key_of_its_own() -> None:
    with endpoint() as there:
        delivery = Delivery()
        done = delivery.to(there)
    assert [row["id"] for row in there.rows] == list(range(10))
    assert there.keys == [f"{JOB}-{SUBJECT.epoch_ns}-{number}" for number in range(4)]
    assert {(method, path) for method, path, _, _ in there.requests} == {("POST", "/rows")}
    headers = there.requests[0][2]
    assert (headers["authorization"], headers["x-team"]) == (f"Bearer {TOKEN}", "nlp")
    assert headers["content-type"] == "application/json"
    assert (done.rows, done.is_new, delivery.took, delivery.waits) == (10, True, [0, 1, 2, 3], [])


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_rows_may_be_lines_and_the_method_another(method: str) -> None:
    with endpoint() as there:
        Delivery().to(there, method=method, format="jsonl")
    assert there.requests[0][0] == method
    assert [json.loads(line)["id"] for line in there.requests[0][3].splitlines()] == [0, 1, 2]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_a_refusal_that_may_pass_is_sent_again_under_the_same_key(status: int) -> None:
    with endpoint(Told(status=status), Told(status=status)) as there:
        delivery = Delivery()
        delivery.to(there)
    assert len(set(there.keys[:3])) == 1
    assert len(there.rows) == 10
    assert len(delivery.waits) == 2


@pytest.mark.parametrize("answer", [Told(fault="closed"), Told(status=500, fault="torn")])
def test_an_answer_that_is_lost_leads_to_the_same_batch_again(answer: Told) -> None:
    with endpoint(Told(), answer) as there:
        Delivery().to(there)
    assert there.keys[1] == there.keys[2]
    assert [row["id"] for row in there.rows] == list(range(10))


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Sat, 21 Nov 2026 13:00:20 GMT", "Date": "Sat, 21 Nov 2026 13:00:00 GMT"}, 20.0),
        ({"Retry-After": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_wait_that_the_endpoint_asks_for_is_kept(headers: dict[str, str], least: float) -> None:
    response = Response(status=429, headers={name.lower(): value for name, value in headers.items()}, body=b"")
    assert (response.wait_s or 0.0) == least
    with endpoint(
        Told(status=429, headers={name: value for name, value in headers.items() if name != "Date"})
    ) as there:
        delivery = Delivery()
        delivery.to(there)
    if "Date" not in headers:
        assert least <= delivery.waits[0] <= least + 0.5


def test_a_wait_beyond_reason_ends_the_delivery() -> None:
    with endpoint(Told(status=503, headers={"Retry-After": "86400"})) as there:
        delivery = Delivery()
        with pytest.raises(DeliveryError, match="answered 503"):
            delivery.to(there)
    assert (delivery.waits, len(there.requests)) == ([], 1)


def test_retries_are_bounded_and_wait_longer_and_longer() -> None:
    with endpoint(*[Told(status=500, body="broken")] * 6) as there:
        delivery = Delivery()
        with pytest.raises(DeliveryError, match=r"batch 0 \(rows from 0\) was not accepted in 4 tries: .*500: broken"):
            delivery.to(there)
    assert (len(there.requests), len(delivery.waits), delivery.took) == (4, 3, [])
    assert all(wait <= 0.5 * 2**number for number, wait in enumerate(delivery.waits))


def test_what_was_accepted_before_is_not_sent_again() -> None:
    with endpoint(Told(), Told(), Told(status=500), Told(status=500)) as there:
        first = Delivery()
        with pytest.raises(DeliveryError):
            first.to(there, retries=1)
        assert first.took == [0, 1]
        second = Delivery()
        done = second.to(there, accepted=first.took)
    assert (second.took, done.details) == ([2, 3], {"batches": 4, "batches sent now": 2})
    assert [row["id"] for row in there.rows] == list(range(10))
    assert [key.rpartition("-")[2] for key in there.keys] == ["0", "1", "2", "2", "2", "3"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "answered 400: no such field; correct what it names"),
        (401, "the variable that holds the token"),
        (404, "check the address"),
        (405, "write another method"),
        (413, "smaller batch_size"),
        (307, "redirects are not followed"),
    ],
)
def test_a_refusal_that_will_not_pass_is_not_repeated(status: int, message: str) -> None:
    body = json.dumps({"error": {"message": "no such\nfield"}})
    with endpoint(Told(status=status, body=body, headers={"Location": "http://127.0.0.1:1/"})) as there:
        delivery = Delivery()
        with pytest.raises(DeliveryRefused, match=message):
            delivery.to(there)
    assert (len(there.requests), delivery.waits) == (1, [])


def test_an_error_repeats_neither_the_token_nor_an_answer_that_may_not_be_shown() -> None:
    body = json.dumps({"detail": f"the token {TOKEN} may not write answer 0"})
    with endpoint(Told(status=403, body=body), Told(status=403, body=body)) as there:
        with pytest.raises(DeliveryRefused, match=r"the token \[removed secret\] may not write") as shown:
            Delivery().to(there)
        with pytest.raises(DeliveryRefused) as hidden:
            Delivery().to(there, shows=False)
    assert TOKEN not in str(shown.value) + repr(CREDENTIALS)
    assert "may not write" not in str(hidden.value)


def test_an_endpoint_that_is_down_is_an_error_that_may_pass() -> None:
    with endpoint() as there:
        pass
    delivery = Delivery()
    with pytest.raises(DeliveryError, match=r"was not accepted in 2 tries: .*ConnectionRefused"):
        delivery.to(there, retries=1)
    assert len(delivery.waits) == 1
