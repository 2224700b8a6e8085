"""The ways on which a message leaves: e-mail, Slack, a webhook, the log. One attempt each; `outbox` repeats them.

Addresses and passwords come from the environment at the moment of sending and are in no error: an error names the
variable and the host. What failed for good is `MessageRefused`, what may succeed later `MessageNotSent`.
"""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from ipaddress import ip_address
from urllib.error import HTTPError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from llm_jobs.documents.variables import credential_name
from llm_jobs.documents.watched import Channel
from llm_jobs.errors import MessageNotSent, MessageRefused
from llm_jobs.observability.messages import Message

LOG = logging.getLogger(__name__)
SMTP_URL = "LLM_JOBS_SMTP_URL"
MAIL_FROM = "LLM_JOBS_MAIL_FROM"
SLACK_URL = "LLM_JOBS_SLACK_WEBHOOK_URL"
TIMEOUT_S = 10.0
SMTP_PORT, SMTPS_PORT = 587, 465  # submission, RFC 6409 and RFC 8314
_TRANSIENT_STATUSES = frozenset({408, 425, 429})

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
        if channel.action == "email":
            self._mail(message, channel)
        elif channel.action == "slack":
            members = {"text": _slack_text(message), **({"channel": channel.channel} if channel.channel else {})}
            _post(self._environment[SLACK_URL], members, {}, named=SLACK_URL)
        elif channel.action == "webhook":
            self._webhook(message, channel)
        else:
            LOG.warning("%s", message.text.replace("\n", "; "))

    def _webhook(self, message: Message, channel: Channel) -> None:
        name = credential_name(channel.url or "")
        url = self._environment[name] if name else channel.url or ""
        headers = {"Authorization": f"Bearer {self._environment[channel.api_key]}"} if channel.api_key else {}
        members = {**message.members(), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        _post(url, members, headers, named=name or "the webhook")

    def _mail(self, message: Message, channel: Channel) -> None:
        try:
            mail = _mail(message, channel.recipients, sender=self._environment[MAIL_FROM])
            self._hand_over(mail, self._environment[SMTP_URL])
        except ValueError as error:
            raise MessageRefused(f"{SMTP_URL}, {MAIL_FROM} or a recipient: {type(error).__name__}") from None
        except smtplib.SMTPResponseException as error:
            kind = MessageNotSent if 400 <= error.smtp_code < 500 else MessageRefused
            raise kind(f"the mail server of {SMTP_URL} answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            kind = MessageNotSent if any(code < 500 for code in codes) else MessageRefused
            raise kind(f"the mail server of {SMTP_URL} refused every recipient: {codes}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise MessageNotSent(f"the mail server of {SMTP_URL}: {type(error).__name__}") from None

    def _hand_over(self, mail: EmailMessage, url: str) -> None:
        parts = urlsplit(url)
        host, tls = parts.hostname or "", self._tls or ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or SMTPS_PORT, timeout=TIMEOUT_S, context=tls)
        else:
            server = smtplib.SMTP(host, parts.port or SMTP_PORT, timeout=TIMEOUT_S)
        with server:
            server.ehlo()
            wanted = parse_qs(parts.query).get("starttls", ["auto"])[0]
            is_safe = parts.scheme == "smtps" or _starttls(server, tls, wanted)
            if parts.username:
                if not is_safe and not _is_loopback(host):
                    raise MessageRefused(f"the mail server of {SMTP_URL} offers no TLS: the password is not sent")
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(mail)


def _mail(message: Message, recipients: Sequence[str], *, sender: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(domain="llm-jobs.invalid")
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(message.text)
    return mail


def _starttls(server: smtplib.SMTP, tls: ssl.SSLContext, wanted: str) -> bool:
    """Encrypt, where that is wanted and offered. Raises MessageRefused where it is required and not offered."""
    if wanted == "off":
        return False
    if not server.has_extn("starttls"):
        if wanted == "required":
            raise MessageRefused(f"{SMTP_URL} requires STARTTLS, which the server does not offer")
        return False
    server.starttls(context=tls)
    server.ehlo()
    return True


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _slack_text(message: Message) -> str:
    """Slack's markup has three signs; escaped, a job's name mentions nobody and links nowhere."""
    text = f"*{message.subject}*\n{message.text}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _NoRedirects(HTTPRedirectHandler):
    """A message goes where it was addressed to, and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _post(url: str, members: Mapping[str, object], headers: Mapping[str, str], *, named: str) -> None:
    """POST as JSON. `named` stands for the address in errors: the address of a webhook is a secret."""
    body = json.dumps(members).encode()
    try:
        request = Request(url, data=body, headers={"Content-Type": "application/json", **headers})
        with build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S) as response:
            response.read(1024)
    except HTTPError as error:
        error.close()
        is_final = error.code < 500 and error.code not in _TRANSIENT_STATUSES
        raise (MessageRefused if is_final else MessageNotSent)(f"{named} answered {error.code}") from None
    except OSError as error:
        raise MessageNotSent(f"{named}: {type(error).__name__}") from None
    except ValueError as error:
        raise MessageRefused(f"{named} is no address: {type(error).__name__}") from None
