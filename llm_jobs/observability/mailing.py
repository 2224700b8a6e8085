"""One attempt to hand a mail to a mail server.

The connection is encrypted where the server offers it (`smtps://`, or STARTTLS, which `?starttls=required` insists on
and `?starttls=off` leaves), and a password is sent over nothing else, but to this machine itself.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from llm_jobs.errors import MessageNotSent, MessageRefused
from llm_jobs.observability.messages import Message

TIMEOUT_S = 10.0
SMTP_PORT, SMTPS_PORT = 587, 465  # submission: RFC 6409 and RFC 8314


def mail(
    message: Message, recipients: Sequence[str], *, sender: str, url: str, named: str, tls: ssl.SSLContext | None = None
) -> None:
    """Send `message` from `sender` over the server of `url`, which errors call `named`: it may hold a password. `tls`:
    how the server is verified; None: as the operating system says. Raises MessageNotSent, MessageRefused."""
    try:
        _hand_over(_mail(message, recipients, sender=sender), url, tls or ssl.create_default_context(), named)
    except smtplib.SMTPResponseException as error:
        raise _kind([error.smtp_code])(f"the mail server of {named} answered {error.smtp_code}") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        raise _kind(codes)(f"the mail server of {named} refused every recipient: {codes}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise MessageNotSent(f"the mail server of {named}: {type(error).__name__}") from None
    except ValueError as error:
        raise MessageRefused(f"{named}, the sender or a recipient: {type(error).__name__}") from None


def _kind(codes: Sequence[int]) -> type[MessageNotSent]:
    """RFC 5321, 4.2.1: 4xx may succeed later, 5xx will not."""
    return MessageNotSent if any(400 <= code < 500 for code in codes) else MessageRefused


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


def _hand_over(mail: EmailMessage, url: str, tls: ssl.SSLContext, named: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or SMTPS_PORT, timeout=TIMEOUT_S, context=tls)
    else:
        server = smtplib.SMTP(host, parts.port or SMTP_PORT, timeout=TIMEOUT_S)
    with server:
        server.ehlo()
        wanted = parse_qs(parts.query).get("starttls", ["auto"])[0]
        is_safe = parts.scheme == "smtps" or _starttls(server, tls, wanted, named)
        if parts.username:
            if not is_safe and not _is_loopback(host):
                raise MessageRefused(f"the mail server of {named} offers no TLS: the password is not sent")
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(mail)


def _starttls(server: smtplib.SMTP, tls: ssl.SSLContext, wanted: str, named: str) -> bool:
    """Encrypt, where that is wanted and offered. Raises MessageRefused where it is required and not offered."""
    if wanted == "off":
        return False
    if not server.has_extn("starttls"):
        if wanted == "required":
            raise MessageRefused(f"{named} requires STARTTLS, which the server does not offer")
        return False
    server.starttls(context=tls)
    server.ehlo()
    return True


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
