"""A real mail server on a free loopback port, and what was handed to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from llm_jobs_tests.servers.prometheus import free_port

USER, PASSWORD = "robot", "correct-horse-battery"


class MailServer:
    """Keeps what it takes. `answers`: what it says to the first mails in the place of taking them."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.was_encrypted: list[bool] = []
        self.users: list[str] = []
        self.tries = 0
        self.url = ""
        self._answers = list(answers)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.tries += 1
        if self._answers:
            return self._answers.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        assert server.transport is not None
        self.was_encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Whether the login is the one that there is."""
        if isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode()):
            self.users.append(USER)
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False)  # the server answers 535


@contextmanager
def mail_server(
    *,
    answers: Sequence[str] = (),
    starttls: ssl.SSLContext | None = None,
    smtps: ssl.SSLContext | None = None,
) -> Iterator[MailServer]:
    """A server; with STARTTLS where `starttls` is given, encrypted from the start with `smtps`."""
    kept = MailServer(answers)
    port = free_port()
    controller = Controller(
        kept,
        hostname="127.0.0.1",
        port=port,
        ssl_context=smtps,
        tls_context=starttls,
        authenticator=kept.authenticate,
        auth_require_tls=False,  # whether to log in over what is the client's to decide
    )
    controller.start()
    try:
        kept.url = f"127.0.0.1:{port}"
        yield kept
    finally:
        controller.stop()
