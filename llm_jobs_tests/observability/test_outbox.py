"""Messages on their way: tried again a bounded number of times, in nobody's way, and told where they are lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from llm_jobs.documents.watched import Alert, Channel
from llm_jobs.errors import MessageNotSent, MessageRefused
from llm_jobs.observability.alerts import Raised
from llm_jobs.observability.channels import Channels
from llm_jobs.observability.messages import Message, Subject, alert_message
from llm_jobs.observability.outbox import PAUSES_S, Outbox
from llm_jobs_tests.observability.facts import JOB
from llm_jobs_tests.servers.hooks import hook
from llm_jobs_tests.servers.mail import mail_server

LOG = Channel(action="log")
SLACK = Channel(action="slack", channel="#ops")
MAIL = Channel(action="email", recipients=("admin@example.com",))
RAISED = Raised(alert=Alert(condition="failed > 0", channel=LOG), metrics={"failed": 1}, is_last=False)
MESSAGE = alert_message(Subject(name="reviews", job_hash=JOB), RAISED)


class Failing:
    """Fails as it was told to, then sends."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tries = 0

    def __call__(self, message: Message, channel: Channel) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)


class Pauses:
    """Waits for nobody, and keeps how long it should have."""

    def __init__(self) -> None:
        self.waited_s: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.waited_s.append(seconds)
        return False


def sent(send: Callable[[Message, Channel], None], *channels: Channel) -> list[float]:
    pauses = Pauses()
    with Outbox(send, pause=pauses) as outbox:
        outbox.send(MESSAGE, channels or (LOG,))
    return pauses.waited_s


def test_what_leaves_at_once_is_sent_once() -> None:
    send = Failing()
    assert (sent(send), send.tries) == ([], 1)


def test_what_may_succeed_later_is_tried_again_with_longer_pauses() -> None:
    send = Failing(MessageNotSent("503"), MessageNotSent("503"))
    assert (sent(send), send.tries) == ([1.0, 3.0], 3)


def test_it_is_given_up_after_four_attempts_and_told(caplog: pytest.LogCaptureFixture) -> None:
    send = Failing(*[MessageNotSent("X answered 503")] * 9)
    with caplog.at_level(logging.ERROR):
        assert (sent(send), send.tries) == (list(PAUSES_S), 4)
    assert "not sent by log after 4 attempts: [llm-jobs] reviews: failed > 0: X answered 503" in caplog.text


def test_what_is_refused_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    send = Failing(MessageRefused("X answered 404"))
    assert (sent(send), send.tries) == ([], 1)
    assert "after 1 attempts" in caplog.text


def test_a_channel_that_fails_holds_up_no_other() -> None:
    with hook(statuses=[404]) as slack, mail_server() as server:
        settings = {
            "LLM_JOBS_SLACK_WEBHOOK_URL": slack.url,
            "LLM_JOBS_SMTP_URL": f"smtp://{server.url}",
            "LLM_JOBS_MAIL_FROM": "llm-jobs@example.com",
        }
        sent(Channels(settings), SLACK, MAIL)
    assert (len(slack.taken), len(server.mails)) == (0, 1)


def test_real_servers_that_fail_first_get_the_message_once() -> None:
    with hook(statuses=[503, 429]) as slack, mail_server(answers=["451 later"]) as server:
        settings = {
            "LLM_JOBS_SLACK_WEBHOOK_URL": slack.url,
            "LLM_JOBS_SMTP_URL": f"smtp://{server.url}",
            "LLM_JOBS_MAIL_FROM": "llm-jobs@example.com",
        }
        sent(Channels(settings), SLACK, MAIL)
    assert (len(slack.headers), len(slack.taken)) == (3, 1)
    assert (server.tries, len(server.mails)) == (2, 1)


def test_sending_waits_for_nobody_and_closing_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    stuck, ends = threading.Event(), threading.Event()

    def hang(message: Message, channel: Channel) -> None:
        stuck.set()
        ends.wait()

    outbox = Outbox(hang, patience_s=0.01)
    outbox.send(MESSAGE, [LOG] * 5)  # two under way, three behind them
    stuck.wait()
    outbox.close()
    ends.set()
    assert "3 messages were not sent: the run is over" in caplog.text


def test_a_run_that_ends_cuts_the_pauses_short(caplog: pytest.LogCaptureFixture) -> None:
    send = Failing(*[MessageNotSent("503")] * 9)
    outbox = Outbox(send, pauses_s=[3600.0], patience_s=0.05)
    outbox.send(MESSAGE, [LOG])
    outbox.close()
    assert send.tries == 1
    assert "after 1 attempts" in caplog.text


def test_a_defect_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    send = Failing(ZeroDivisionError())
    sent(send, LOG, LOG)
    assert send.tries == 2
    assert "met a defect" in caplog.text
