"""Webhooks: who may fire them, what they bring, and that a repeated request submits nothing again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs.errors import Denied, DocumentError, NotFound, SetupError
from llm_jobs.operations.launchable import launchable
from llm_jobs.operations.release import release
from llm_jobs.operations.trigger import Fired, fire
from llm_jobs_tests.operations.launching import House, document, opened

TOKEN = "t0ken"
WEBHOOK = "triggers: [{type: webhook, endpoint: /trigger/process}]"
TEXT = "Is {{ word }} a fruit?"
ROWS = json.dumps([{"word": "pear"}, {"word": "plum"}]).encode()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path, LLM_JOBS_TRIGGER_TOKEN=TOKEN) as found:
        found.keep("recurring", "fruits.yaml", document("fruits", WEBHOOK, text=TEXT))
        yield found


def fired(house: House, body: bytes = ROWS, *, endpoint: str = "/trigger/process", key: str | None = None) -> Fired:
    return fire(house.services, endpoint, body, token=TOKEN, idempotency_key=key)


@pytest.mark.parametrize("body", [ROWS, b'{"rows": ' + ROWS + b"}"])
def test_the_rows_of_a_request_are_the_table(house: House, body: bytes) -> None:
    (accepted,) = fired(house, body).accepted
    (submission,) = house.services.ledger.submissions(job_hash=accepted.job.hash)
    assert (submission.origin, submission.details["webhook"]["endpoint"]) == ("webhook", "/trigger/process")
    (report,) = house.run(accepted.job.hash)
    assert (report.status, report.rows) == ("done", 2)


def test_a_request_may_bring_parameters_or_nothing(house: House) -> None:
    own = document("fruits", WEBHOOK, "input: {rows: [{word: fig}]}", text=TEXT)
    house.keep("recurring", "fruits.yaml", own)
    (plain,) = fired(house, b"").accepted
    (warm,) = fired(house, b'{"parameters": {"temperature": 0.5}}').accepted
    assert plain.job.hash != warm.job.hash
    assert warm.job.steps[0].parameters == {"temperature": 0.5}  # type: ignore[union-attr]
    assert len(launchable(house.services).jobs) == 2


def test_the_same_rows_are_the_same_job_and_another_request(house: House) -> None:
    (first,), (second,) = fired(house).accepted, fired(house).accepted
    assert first.job.hash == second.job.hash
    assert first.submission_id != second.submission_id


def test_a_request_that_is_repeated_with_its_key_submits_nothing_again(house: House) -> None:
    first, again = fired(house, key="k1"), fired(house, key="k1")
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert [each.submission_id for each in again.accepted] == [each.submission_id for each in first.accepted]
    assert len(house.services.ledger.submissions(name="fruits")) == 1
    with pytest.raises(DocumentError, match="another body"):
        fired(house, b"[]", key="k1")
    assert not fired(house, key="k2").is_repeat


def test_where_one_of_several_documents_cannot_be_submitted_none_is(house: House) -> None:
    alert = "alerts: [{condition: failed > 0, action: slack}]"
    house.keep("recurring", "spices.yaml", document("spices", WEBHOOK, alert, text=TEXT))
    with pytest.raises(SetupError, match="LLM_JOBS_SLACK_WEBHOOK_URL"):
        fired(house, key="k1")
    assert not house.services.ledger.latest_jobs(10)


def test_a_document_that_depends_on_a_job_waits_for_it_and_the_repetition_knows(house: House) -> None:
    house.keep("recurring", "fruits.yaml", document("fruits", WEBHOOK, "depends_on: first", text=TEXT))
    assert fired(house, key="k1") == Fired(accepted=[], deferred=["fruits"])
    again = fired(house, key="k1")
    assert (again.deferred, again.is_repeat) == (["fruits"], True)
    fired(house, b'[{"word": "fig"}]')
    house.drop("first.yaml", document("first"))
    house.run(*(job.job_hash for job in launchable(house.services).jobs))
    assert len(release(house.services).accepted) == 2


def test_who_has_no_token_or_a_wrong_one_fires_nothing(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    for token in (None, "", "wrong", "t0ken "):
        with pytest.raises(Denied) as caught:
            fire(house.services, "/trigger/process", ROWS, token=token)
        assert TOKEN not in str(caught.value)
    assert house.statuses() == {}
    with opened(tmp_path_factory.mktemp("other")) as other, pytest.raises(SetupError, match="LLM_JOBS_TRIGGER_TOKEN"):
        fire(other.services, "/trigger/process", ROWS, token="")


def test_an_endpoint_that_no_document_names_is_told_with_the_nearest(house: House) -> None:
    with pytest.raises(NotFound, match="did you mean '/trigger/process'"):
        fired(house, endpoint="/trigger/proces")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"7", "neither a list nor an object"),
        (b"[]", "at least one row"),
        (b"[7]", "no object"),
        (b'[{"word": "a"}, {}]', "no object with at least one member"),
        (b'{"row": []}', "did you mean 'rows'"),
        (b'{"parameters": 7}', "parameters are no object"),
        (b'{"rows": [{"word": "a"}], "parameters": {"temprature": 1}}', "temprature"),
        (b'{"rows": [{"word": NaN}]}', "NaN"),
        (b'{"rows": [', "the request:1"),
        (b"\xff", "UTF-8"),
    ],
)
def test_a_wrong_body_is_refused_before_anything_is_submitted(house: House, body: bytes, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        fired(house, body)
    assert what in str(caught.value)
    assert house.statuses() == {}


def test_two_documents_may_share_an_endpoint_and_one_that_cannot_be_read_stops_neither(house: House) -> None:
    house.keep("recurring", "birds.yaml", document("birds", WEBHOOK, text="Is {{ word }} a bird?"))
    house.keep("recurring", "wrong.yaml", document("wrong", WEBHOOK, "modle: x"))
    assert {each.job.name for each in fired(house).accepted} == {"fruits", "birds"}
