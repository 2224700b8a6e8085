"""The ways on which a message leaves: e-mail, Slack, a webhook, the log. One attempt each; `outbox` repeats them.

Addresses and passwords come from the environment at the moment of sending and are in no error: an error names the
variable. What failed for good is MessageRefused, what may succeed later MessageNotSent.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from llm_jobs.documents.variables import credential_name
from llm_jobs.documents.watched import Channel
from llm_jobs.errors import MessageRefused
from llm_jobs.observability.messages import Message

LOG = logging.getLogger(__name__)
SMTP_URL = "LLM_JOBS_SMTP_URL"
MAIL_FROM = "LLM_JOBS_MAIL_FROM"
SLACK_URL = "LLM_JOBS_SLACK_WEBHOOK_URL"

Send = Callable[[Message, Channel], None]


def missing_setting(channel: Channel, environment: Mapping[str, str]) -> str | None:
    """The first variable that a channel needs and the environment lacks."""
    needed = {"email": (SMTP_URL, MAIL_FROM), "slack": (SLACK_URL,)}.get(channel.action, ())
    named = (credential_name(channel.url or ""), channel.api_key) if channel.action == "webhook" else ()
    return next((name for name in (*needed, *named) if name and not environment.get(name)), None)


class Channels:
    """Sends over the channel that a document names, with the settings of `environment`, a live mapping."""

    def __init__(self, environment: Mapping[str, str], *, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: how mail servers are verified; None: as the operating system says."""
        self._environment = environment
        self._tls = tls

    def __repr__(self) -> str:
        return "Channels(...)"

    def __call__(self, message: Message, channel: Channel) -> None:
        """One attempt. Raises MessageNotSent, MessageRefused."""
        if (name := missing_setting(channel, self._environment)) is not None:
            raise MessageRefused(f"{name} is not set")
        action = channel.action
        if action == "default":
            action = "slack" if self._environment.get(SLACK_URL) else "log"
        if action == "log":
            LOG.warning("%s", message.text.replace("\n", "; "))
        elif action == "email":
            self._mail(message, channel)
        elif action == "slack":
            members = {"text": _slack_text(message), **({"channel": channel.channel} if channel.channel else {})}
            _post(self._environment[SLACK_URL], members, {}, named=SLACK_URL)
        else:
            self._webhook(message, channel)

    def _mail(self, message: Message, channel: Channel) -> None:
        # The mail client takes some milliseconds to import, of every start; few send mails.
        from llm_jobs.observability.mailing import mail

        environment = self._environment
        sender, url = environment[MAIL_FROM], environment[SMTP_URL]
        mail(message, channel.recipients, sender=sender, url=url, named=SMTP_URL, tls=self._tls)

    def _webhook(self, message: Message, channel: Channel) -> None:
        name = credential_name(channel.url or "")
        url = self._environment[name] if name else channel.url or ""
        headers = {"Authorization": f"Bearer {self._environment[channel.api_key]}"} if channel.api_key else {}
        members = {**message.members(), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        _post(url, members, headers, named=name or "the webhook")


def _slack_text(message: Message) -> str:
    """Slack's markup has three signs; escaped, a job's name mentions nobody and links nowhere."""
    text = f"*{message.subject}*\n{message.text}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(url: str, members: Mapping[str, object], headers: Mapping[str, str], *, named: str) -> None:
    # The same of the web's client.
    from llm_jobs.observability.posting import post

    post(url, members, headers, named=named)
