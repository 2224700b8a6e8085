"""A server is asked over TLS only if its certificate is its own and signed by an authority that is trusted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import CallError, CallTimeout, PermanentError, TransientError
from llm_jobs.providers.base import Answered
from llm_jobs.providers.http import HttpChannel
from llm_jobs.providers.secrets import Scrubber
from llm_jobs_tests.servers.certificates import Authority
from llm_jobs_tests.servers.raw import Played, Script, playing, say

KEY = "sk-a-secret-key"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that is trusted: the environment is where OpenSSL looks, so it is set there."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


async def ask(channel: HttpChannel, played: Played, *, scheme: str = "https", timeout_s: float = 10) -> Answered:
    return await channel.exchange(
        "POST",
        f"{scheme}://127.0.0.1:{played.port}/v1",
        headers={"authorization": f"Bearer {KEY}"},
        payload=b"{}",
        timeout_s=timeout_s,
        scrubber=Scrubber([KEY]),
    )


def run(
    script: Script,
    trust: ssl.SSLContext | None,
    act: Callable[[HttpChannel, Played], Coroutine[Any, Any, Any]],
    connections: int = 0,
) -> Any:
    async def whole() -> Any:
        async with playing(script, trust=trust) as played:
            channel = HttpChannel(connections=connections)
            try:
                return await act(channel, played)
            finally:
                await channel.aclose()

    return asyncio.run(whole())


async def fails(channel: HttpChannel, played: Played, **options: Any) -> tuple[CallError, list[bytes]]:
    with pytest.raises(CallError) as caught:
        await ask(channel, played, **options)
    assert caught.value.__context__ is None
    return caught.value, played.all()


@pytest.mark.parametrize(
    ("raw", "close"),
    [
        (OK, False),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", False),
    ],
)
def test_an_answer_comes_over_tls(authority: Authority, raw: bytes, close: bool) -> None:
    async def act(channel: HttpChannel, played: Played) -> tuple[bytes, bytes, int]:
        return (await ask(channel, played)).raw, (await ask(channel, played)).raw, len(played.requests)

    found = run(lambda *_: say(raw, close=close), authority.server("127.0.0.1"), act)
    assert found == (b"{}", b"{}", 2 if close else 1)


def test_a_large_answer_comes_whole_over_tls(authority: Authority) -> None:
    body = bytes(range(256)) * 8_000
    raw = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async def act(channel: HttpChannel, played: Played) -> bytes:
        return (await ask(channel, played)).raw

    assert run(lambda *_: say(raw), authority.server("127.0.0.1"), act) == body


@pytest.mark.parametrize(("host", "expired"), [("127.0.0.2", False), ("example.com", False), ("127.0.0.1", True)])
def test_a_certificate_that_is_not_the_servers_own_or_has_expired_ends_the_attempt(
    authority: Authority, host: str, expired: bool
) -> None:
    error, requests = run(lambda *_: say(OK), authority.server(host, expired=expired), fails)
    assert type(error) is PermanentError
    assert "no certificate that can be trusted; set SSL_CERT_FILE" in str(error)
    assert requests == []


def test_an_authority_that_is_not_trusted_ends_the_attempt(tmp_path: Path) -> None:
    error, requests = run(lambda *_: say(OK), Authority(tmp_path).server("127.0.0.1"), fails)
    assert type(error) is PermanentError
    assert requests == []


def test_a_server_that_does_not_speak_tls_gets_no_key() -> None:
    async def act() -> tuple[CallError, bytes]:
        received: list[bytes] = []
        ended = asyncio.Event()

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.read(1000))
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            ended.set()

        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            channel = HttpChannel(connections=0)
            error, _ = await fails(channel, Played(port=server.sockets[0].getsockname()[1]))
            await channel.aclose()
            await ended.wait()
        return error, b"".join(received)

    error, received = asyncio.run(act())
    assert type(error) is TransientError
    assert "no connection to https://127.0.0.1:" in str(error)
    assert received
    assert KEY.encode() not in received


def test_a_server_that_never_ends_its_handshake_is_waited_for_as_long_as_allowed() -> None:
    async def act(channel: HttpChannel, played: Played) -> list[CallError]:
        return [(await fails(channel, played, timeout_s=0.1))[0] for _ in range(2)]

    # A server that does not speak TLS waits for the end of a head.
    errors = run(lambda *_: None, None, act, connections=1)
    assert [type(error) for error in errors] == [CallTimeout, CallTimeout]


def test_a_cancelled_call_over_tls_closes_its_connection(authority: Authority) -> None:
    async def act(channel: HttpChannel, played: Played) -> int:
        asking = asyncio.create_task(ask(channel, played))
        while not played.all():
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await played.until_open(0)
        return len(played.all())

    assert run(lambda *_: None, authority.server("127.0.0.1"), act) == 1
