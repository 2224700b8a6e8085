"""Messages over real channels: a mail server, webhooks; what arrives, what is tried again, what is never said."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest

from llm_jobs.documents.watched import Alert, Channel
from llm_jobs.errors import MessageNotSent, MessageRefused
from llm_jobs.events import JobBroken, JobFinished
from llm_jobs.observability.alerts import Raised
from llm_jobs.observability.channels import Channels, missing_setting
from llm_jobs.observability.messages import Message, Subject, alert_message, end_message
from llm_jobs_tests.observability.facts import JOB
from llm_jobs_tests.servers.certificates import Authority
from llm_jobs_tests.servers.hooks import babbling, hook
from llm_jobs_tests.servers.mail import PASSWORD, USER, mail_server
from llm_jobs_tests.servers.prometheus import free_port

MAIL = Channel(action="email", recipients=("admin@example.com", "ops@example.com"))
SLACK = Channel(action="slack", channel="#ops")
ABOUT = Subject(name="alerted_job", job_hash=JOB, link="http://127.0.0.1:3000/runs/1")
RAISED = Raised(alert=Alert(condition="error_rate > 0.05", channel=MAIL), metrics={"error_rate": 0.125}, is_last=False)
MESSAGE = alert_message(ABOUT, RAISED)


def named(name: str) -> Message:
    return alert_message(Subject(name=name, job_hash=JOB), RAISED)


def mailing(url: str, *, tls: ssl.SSLContext | None = None) -> Channels:
    return Channels({"LLM_JOBS_SMTP_URL": url, "LLM_JOBS_MAIL_FROM": "llm-jobs@example.com"}, tls=tls)


def test_a_message_says_which_job_what_held_and_with_which_numbers() -> None:
    assert MESSAGE.subject == "[llm-jobs] alerted_job: error_rate > 0.05"
    assert MESSAGE.text.splitlines() == [
        "Job: alerted_job",
        f"Hash: {JOB}",
        "error_rate > 0.05",
        "error_rate = 0.125",
        "http://127.0.0.1:3000/runs/1",
    ]


def test_the_message_at_the_end_says_how_it_ended_and_what_is_not_known() -> None:
    ended = JobFinished(JOB, "alerted_job", "partial", 10, 9, 1)
    assert end_message(ABOUT, ended, {}).title == "partial, 9 of 10 rows succeeded"
    broken = end_message(ABOUT, JobBroken(JOB, "alerted_job", "SetupError"), {"cost_usd": float("nan")})
    assert broken.title == "stopped without a result: SetupError"
    assert "cost_usd = unknown" in broken.text
    assert broken.members()["metrics"] == {"cost_usd": None}


def test_a_mail_arrives_at_everybody_with_a_plain_text() -> None:
    with mail_server() as server:
        mailing(f"smtp://{server.url}")(MESSAGE, MAIL)
    [mail] = server.mails
    assert server.recipients == [["admin@example.com", "ops@example.com"]]
    assert (mail["From"], mail["Subject"]) == ("llm-jobs@example.com", MESSAGE.subject)
    assert (mail.get_content_type(), mail["Auto-Submitted"]) == ("text/plain", "auto-generated")
    assert mail.get_content().splitlines() == MESSAGE.text.splitlines()


@pytest.mark.parametrize("name", ["a\r\nBcc: all@example.com\r\n\r\nhello", "Füße 👣", "x" * 5000, "\x00\x1b[31m"])
def test_a_name_adds_no_header_and_no_line(name: str) -> None:
    with mail_server() as server:
        mailing(f"smtp://{server.url}")(named(name), MAIL)
    [mail] = server.mails
    assert mail["Bcc"] is None
    assert len(server.recipients[0]) == 2
    assert len(mail["Subject"]) <= 200
    assert len(mail.get_content().splitlines()) == 4


def test_a_login_is_made_over_starttls_and_over_smtps(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls, certificate = ssl.create_default_context(cafile=str(authority.path)), authority.server("127.0.0.1")
    for scheme, opened in (("smtp", mail_server(starttls=certificate)), ("smtps", mail_server(smtps=certificate))):
        with opened as server:
            mailing(f"{scheme}://{USER}:{PASSWORD}@{server.url}", tls=tls)(MESSAGE, MAIL)
        assert (server.was_encrypted, server.users, len(server.mails)) == ([True], [USER], 1)


def test_a_certificate_that_nobody_vouches_for_gets_no_mail_and_no_password(tmp_path: Path) -> None:
    with (
        mail_server(starttls=Authority(tmp_path).server("127.0.0.1")) as server,
        pytest.raises(MessageNotSent) as caught,
    ):
        mailing(f"smtp://{USER}:{PASSWORD}@{server.url}")(MESSAGE, MAIL)
    assert (server.mails, server.users) == ([], [])
    assert PASSWORD not in str(caught.value)


def test_a_password_leaves_this_machine_only_encrypted() -> None:
    with mail_server() as server:
        elsewhere = server.url.replace("127.0.0.1", "127.1")  # the same to a socket, and no address of loopback to us
        with pytest.raises(MessageRefused, match="offers no TLS: the password is not sent"):
            mailing(f"smtp://{USER}:{PASSWORD}@{elsewhere}")(MESSAGE, MAIL)
    assert (server.users, server.mails) == ([], [])


def test_encryption_can_be_insisted_on() -> None:
    with mail_server() as server, pytest.raises(MessageRefused, match="requires STARTTLS"):
        mailing(f"smtp://{server.url}?starttls=required")(MESSAGE, MAIL)
    assert server.mails == []


@pytest.mark.parametrize(
    ("answer", "kind"), [("451 later", MessageNotSent), ("554 no", MessageRefused), ("552 full", MessageRefused)]
)
def test_a_mail_server_says_whether_trying_again_helps(answer: str, kind: type[MessageNotSent]) -> None:
    with mail_server(answers=[answer]) as server, pytest.raises(MessageNotSent) as caught:
        mailing(f"smtp://{server.url}")(MESSAGE, MAIL)
    assert type(caught.value) is kind
    assert answer[:3] in str(caught.value)


def test_a_wrong_password_is_not_tried_again_and_not_repeated() -> None:
    with mail_server() as server, pytest.raises(MessageRefused) as caught:
        mailing(f"smtp://{USER}:wrong-horse-battery@{server.url}")(MESSAGE, MAIL)
    assert "wrong-horse" not in f"{caught.value}{caught.value.__context__}{caught.value.__cause__}"


def test_slack_gets_the_channel_and_a_text_that_mentions_nobody() -> None:
    with hook() as slack:
        Channels({"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url})(named("<!channel> & <https://x|y>"), SLACK)
    [taken] = slack.taken
    assert taken["channel"] == "#ops"
    assert "error_rate &gt; 0.05" in taken["text"]
    assert "&lt;!channel&gt; &amp; " in taken["text"]
    assert "<" not in taken["text"]


def test_a_webhook_gets_the_facts_as_json_and_the_key_as_a_bearer_token() -> None:
    environment: dict[str, str] = {"HOOK_KEY": "a-very-secret-key"}
    with hook() as server:
        environment["HOOK_URL"] = server.url
        for url in ("${HOOK_URL}", server.url):
            Channels(environment)(MESSAGE, Channel(action="webhook", url=url, api_key="HOOK_KEY"))
    assert len(server.taken) == 2
    facts = server.taken[0]
    assert {name: facts[name] for name in ("kind", "job", "job_hash", "condition", "metrics")} == {
        "kind": "alert",
        "job": "alerted_job",
        "job_hash": JOB,
        "condition": "error_rate > 0.05",
        "metrics": {"error_rate": 0.125},
    }
    assert server.headers[0]["Authorization"] == "Bearer a-very-secret-key"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, MessageNotSent),
        (503, MessageNotSent),
        (429, MessageNotSent),
        (404, MessageRefused),
        (403, MessageRefused),
        (302, MessageRefused),
    ],
)
def test_the_status_says_whether_trying_again_helps(status: int, kind: type[MessageNotSent]) -> None:
    with hook(statuses=[status]) as slack, pytest.raises(MessageNotSent) as caught:
        Channels({"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url})(MESSAGE, SLACK)
    assert type(caught.value) is kind
    assert str(caught.value) == f"LLM_JOBS_SLACK_WEBHOOK_URL answered {status}"
    assert (slack.taken, len(slack.headers)) == ([], 1)


@pytest.mark.parametrize("url", ["smtp://127.0.0.1:{port}", "smtps://127.0.0.1:{port}", "http://127.0.0.1:{port}/x"])
def test_a_server_that_is_not_there_may_come_back(url: str) -> None:
    url = url.format(port=free_port())
    environment = {"LLM_JOBS_SMTP_URL": url, "LLM_JOBS_MAIL_FROM": "a@b.c", "LLM_JOBS_SLACK_WEBHOOK_URL": url}
    with pytest.raises(MessageNotSent, match=r"ConnectionRefusedError|URLError") as caught:
        Channels(environment)(MESSAGE, SLACK if url.startswith("http") else MAIL)
    assert type(caught.value) is MessageNotSent


@pytest.mark.parametrize("url", ["no address", "http://[", "ftp//x", "http://127.0.0.1:9/services/a secret"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(MessageRefused, match="LLM_JOBS_SLACK_WEBHOOK_URL") as caught:
        Channels({"LLM_JOBS_SLACK_WEBHOOK_URL": url})(MESSAGE, SLACK)
    assert "secret" not in str(caught.value)


def test_a_server_that_speaks_no_http_is_tried_again() -> None:
    with babbling() as url, pytest.raises(MessageNotSent, match="LLM_JOBS_SLACK_WEBHOOK_URL: BadStatusLine") as caught:
        Channels({"LLM_JOBS_SLACK_WEBHOOK_URL": url})(MESSAGE, SLACK)
    assert type(caught.value) is MessageNotSent


@pytest.mark.parametrize(
    ("channel", "variables", "missing"),
    [
        (MAIL, {}, "LLM_JOBS_SMTP_URL"),
        (MAIL, {"LLM_JOBS_SMTP_URL": "smtp://x"}, "LLM_JOBS_MAIL_FROM"),
        (SLACK, {"LLM_JOBS_SLACK_WEBHOOK_URL": ""}, "LLM_JOBS_SLACK_WEBHOOK_URL"),
        (Channel(action="webhook", url="${HOOK}"), {}, "HOOK"),
        (Channel(action="webhook", url="https://x", api_key="KEY"), {}, "KEY"),
        (Channel(action="webhook", url="https://x"), {}, None),
        (Channel(action="log"), {}, None),
        (Channel(action="default"), {}, None),
    ],
)
def test_what_a_channel_needs_is_known_beforehand(
    channel: Channel, variables: dict[str, str], missing: str | None
) -> None:
    assert missing_setting(channel, variables) == missing
    if missing is not None:
        with pytest.raises(MessageRefused, match=missing):
            Channels(variables)(MESSAGE, channel)


def test_the_log_takes_a_message_as_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Channels({})(MESSAGE, Channel(action="log"))
        Channels({})(MESSAGE, Channel(action="default"))
    assert [record.getMessage().count("\n") for record in caplog.records] == [0, 0]
    assert "error_rate = 0.125" in caplog.text


def test_without_a_place_of_its_own_a_message_goes_to_slack_where_that_is_set() -> None:
    with hook() as slack:
        Channels({"LLM_JOBS_SLACK_WEBHOOK_URL": slack.url})(MESSAGE, Channel(action="default"))
    assert "channel" not in slack.taken[0]
