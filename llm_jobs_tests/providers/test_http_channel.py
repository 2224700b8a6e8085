"""The channel against servers that say exactly what they are told: classes of failures, connections, deadlines."""

from __future__ import annotations

import asyncio
import gc
import gzip
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import CallError, CallTimeout, PermanentError, RateLimited, TransientError
from llm_jobs.providers.base import Answered
from llm_jobs.providers.http import HttpChannel
from llm_jobs.providers.http_connection import Connection
from llm_jobs.providers.secrets import Scrubber
from llm_jobs_tests.servers.raw import Played, Script, playing, say
from llm_jobs_tests.servers.wire import Sent, listening

KEY = "sk-a-secret-key"
SCRUBBER = Scrubber([KEY])
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\n"


class Ask:
    """A channel before a server."""

    def __init__(self, played: Played, channel: HttpChannel) -> None:
        self.played = played
        self.channel = channel

    async def __call__(self, *, method: str = "POST", timeout_s: float = 10.0, url: str | None = None) -> Answered:
        return await self.channel.exchange(
            method,
            url or self.played.url,
            headers={"authorization": f"Bearer {KEY}"},
            payload=b"{}" if method == "POST" else None,
            timeout_s=timeout_s,
            scrubber=SCRUBBER,
        )


@asynccontextmanager
async def asking(script: Script, **options: Any) -> AsyncIterator[Ask]:
    async with playing(script) as played:
        channel = HttpChannel(**{"connections": 0, **options})
        try:
            yield Ask(played, channel)
        finally:
            await channel.aclose()


def run(script: Script, act: Callable[[Ask], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    async def whole() -> Any:
        async with asking(script, **options) as ask:
            return await act(ask)

    return asyncio.run(whole())


async def fails(ask: Ask, **options: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await ask(**options)
    assert caught.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


def with_length(body: bytes, headers: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(body), body)


@pytest.mark.parametrize(
    ("raw", "close", "body"),
    [
        (OK, False, b"{}"),
        (CLOSING, True, b"{}"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", False, b"{}"),
        (HEAD + b"\r\n{}", True, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, False, b"{}"),
        (with_length(gzip.compress(b"{}", mtime=0), b"Content-Encoding: gzip\r\n"), False, b"{}"),
        (HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0), True, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, b""),
        (with_length(b"x" * 300_000), False, b"x" * 300_000),
    ],
)
def test_a_whole_answer_is_taken_in_whatever_form(raw: bytes, close: bool, body: bytes) -> None:
    async def act(ask: Ask) -> tuple[bytes, bytes, int]:
        first, second = await ask(), await ask()
        return first.raw, second.raw, len(ask.played.requests)

    assert run(lambda *_: say(raw, close=close), act) == (body, body, 2 if close else 1)


@pytest.mark.parametrize(
    ("raw", "error", "match"),
    [
        (b"", TransientError, "broke off before the whole answer: the server closed it"),
        (HEAD, TransientError, "broke off"),
        (HEAD + b"content-length: 3\r\n\r\n{}", TransientError, "broke off"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", TransientError, "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", TransientError, "is not HTTP"),
        (HEAD + b"\r\n" + b"x" * 2_000, PermanentError, "a body of more than 1,000 bytes"),
        (
            with_length(gzip.compress(bytes(2_000), mtime=0), b"content-encoding: gzip\r\n"),
            PermanentError,
            "1,000 bytes",
        ),
        (
            with_length(gzip.compress(b"{}", mtime=0)[:-3], b"content-encoding: gzip\r\n"),
            TransientError,
            "is not whole",
        ),
        (with_length(b"{}", b"content-encoding: br\r\n"), PermanentError, "not asked for"),
        (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", PermanentError, "not asked for"),
        (HEAD + b"transfer-encoding: gzip\r\n\r\n{}", PermanentError, "not asked for"),
        (with_length(b"data: x\n\n", b"content-type: text/event-stream\r\n"), PermanentError, "streams its answers"),
        (with_length(b"", b"location: /x\r\n", b"302 Found"), PermanentError, "redirects"),
        (with_length(b"", b"retry-after: 7\r\n", b"429 Slow"), RateLimited, "429"),
        (with_length(b"?", b"content-encoding: br\r\n", b"503 No"), TransientError, "503"),
        (with_length(b"?", b"content-encoding: gzip\r\n", b"400 No"), PermanentError, "400"),
        (b"HTTP/1.0 500 No\r\n\r\nbroken", TransientError, "500: broken"),
    ],
)
def test_a_failure_has_its_class_and_is_met_once(raw: bytes, error: type[CallError], match: str) -> None:
    async def act(ask: Ask) -> tuple[CallError, int]:
        return await fails(ask), len(ask.played.all())

    found, asked = run(lambda *_: say(raw, close=True), act, largest_bytes=1_000)
    assert type(found) is error
    assert match in str(found)
    assert asked == 1


def test_headers_come_in_lower_case_and_without_secrets() -> None:
    raw = with_length(b"{}", b"X-Request-ID: 7 \r\nX-Echo: Bearer %b\r\nX-%b: 1\r\n" % (2 * (KEY.encode(),)))
    answered = run(lambda *_: say(raw), lambda ask: ask())
    assert answered.headers == {
        "x-request-id": "7",
        "x-echo": "Bearer [removed secret]",
        "x-[removed secret]": "1",
        "content-length": "2",
    }


def test_a_secret_in_a_compressed_body_is_removed() -> None:
    raw = with_length(gzip.compress(f'{{"echo": "{KEY}"}}'.encode()), b"content-encoding: gzip\r\n")
    assert run(lambda *_: say(raw), lambda ask: ask()).raw == b'{"echo": "[removed secret]"}'


def test_a_secret_in_a_long_body_is_removed() -> None:
    raw = with_length(b'"' + b"x" * 200_000 + KEY.encode() + b'"')
    assert run(lambda *_: say(raw), lambda ask: ask()).raw.endswith(b'x[removed secret]"')


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://[::1]:1/x"])
def test_a_server_that_is_not_there_may_come_back(url: str) -> None:
    error = run(lambda *_: None, lambda ask: fails(ask, url=url))
    assert type(error) is TransientError
    assert f"no connection to {url[:-2]}: " in str(error)


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'x' * 70}.example", "a..b"])
def test_a_name_without_an_address_may_get_one(host: str) -> None:
    error = run(lambda *_: None, lambda ask: fails(ask, url=f"http://{host}/x"))
    assert type(error) is TransientError
    assert f"no connection to http://{host}: " in str(error)


@pytest.mark.parametrize("url", ["ftp://h/x", "http://user:pass@h/x", "http://h:0/x", "nothing"])
def test_an_address_that_cannot_be_asked_is_refused(url: str) -> None:
    error = run(lambda *_: None, lambda ask: fails(ask, url=url))
    assert type(error) is PermanentError
    assert "cannot be written" in str(error)
    assert "pass" not in str(error)


def test_an_ipv6_address_is_asked() -> None:
    async def act() -> bytes:
        async with playing(lambda *_: say(OK), host="::1") as played:
            channel = HttpChannel(connections=0)
            answered = await Ask(played, channel)(url=f"http://[::1]:{played.port}/x")
            assert f"host: [::1]:{played.port}".encode() in played.all()[0]
            await channel.aclose()
            return answered.raw

    assert asyncio.run(act()) == b"{}"


def test_a_name_is_looked_up_and_the_address_that_takes_no_connection_passed_over() -> None:
    async def act(ask: Ask) -> bytes:
        # `localhost` may stand for ::1 too, where this server does not listen.
        return (await ask(url=f"http://localhost:{ask.played.port}/x")).raw

    assert run(lambda *_: say(OK), act) == b"{}"


def test_the_connection_that_was_used_last_is_used_next() -> None:
    async def act(ask: Ask) -> list[int]:
        await asyncio.gather(ask(), ask(), ask())
        for _ in range(5):
            await ask()
        return sorted(map(len, ask.played.requests))

    assert run(lambda *_: say(OK), act) == [1, 1, 6]


def test_ten_thousand_requests_use_one_connection_and_leave_nothing_behind() -> None:
    async def act() -> tuple[int, int, int]:
        async with listening(lambda received: Sent(body=b"{}")) as server:
            channel = HttpChannel(connections=0)
            ask = Ask(Played(), channel)
            await ask(url=server.url)
            gc.collect()
            objects, sockets = len(gc.get_objects()), open_sockets()
            for _ in range(10_000):
                await ask(url=server.url)
            gc.collect()
            more = len(gc.get_objects()) - objects, open_sockets() - sockets
            connections = len(server.connections)
            await channel.aclose()
            return connections, *more

    connections, objects, sockets = asyncio.run(act())
    assert (connections, sockets) == (1, 0)
    assert objects < 100


def test_a_server_that_closes_each_connection_leaves_nothing_behind() -> None:
    async def act(ask: Ask) -> tuple[int, int]:
        await ask()
        before = open_sockets()
        for _ in range(300):
            await ask()
        await ask.played.until_open(0)
        return open_sockets() - before, sum(isinstance(each, Connection) for each in gc.get_objects())

    gc.collect()
    gc.disable()  # what has no cycles needs no collector
    try:
        sockets, connections = run(lambda *_: say(CLOSING, close=True), act)
    finally:
        gc.enable()
    assert sockets <= 0
    assert connections <= 2


def open_sockets() -> int:
    return len([fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and "socket" in str(fd.readlink())])


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_connections_are_open_than_allowed_and_everybody_has_a_turn(limit: int) -> None:
    async def act(ask: Ask) -> tuple[int, int]:
        await asyncio.gather(*(ask() for _ in range(50)))
        return len(ask.played.requests), len(ask.played.all())

    assert run(lambda *_: say(OK), act, connections=limit) == (limit, 50)


def test_who_waits_for_a_connection_is_served_in_order() -> None:
    async def act(ask: Ask) -> list[int]:
        order: list[int] = []

        async def one(number: int) -> None:
            await ask()
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(20)))
        return order

    assert run(lambda *_: say(OK), act, connections=1) == list(range(20))


@pytest.mark.parametrize("fate", ["cancelled", "late", "broken"])
def test_a_request_that_ends_badly_frees_its_place_and_closes_its_connection(fate: str) -> None:
    """With one connection allowed, the next request needs both."""

    def script(connection: int, request: int) -> Any:
        return say(OK) if connection else say(close=fate == "broken")

    async def act(ask: Ask) -> tuple[bytes, list[int]]:
        first = asyncio.create_task(ask(timeout_s=0.2 if fate == "late" else 60))
        while not ask.played.all():
            await asyncio.sleep(0)
        second = asyncio.create_task(ask())
        if fate == "cancelled":
            first.cancel()
        await asyncio.wait([first])
        answered = await second
        await ask.played.until_open(1)
        return answered.raw, list(map(len, ask.played.requests))

    assert run(script, act, connections=1) == (b"{}", [1, 1])


@pytest.mark.parametrize("fate", ["cancelled", "late"])
def test_who_gives_up_waiting_for_a_place_leaves_it_to_the_next(fate: str) -> None:
    async def act(ask: Ask) -> tuple[bytes, int]:
        first = asyncio.create_task(ask(timeout_s=0.4))
        while not ask.played.all():
            await asyncio.sleep(0)
        waiting = asyncio.create_task(ask(timeout_s=0.1 if fate == "late" else 60))
        last = asyncio.create_task(ask())
        await asyncio.sleep(0)
        if fate == "cancelled":
            waiting.cancel()
        await asyncio.wait([first, waiting])
        assert fate == "cancelled" or isinstance(waiting.exception(), CallTimeout)
        return (await last).raw, len(ask.played.all())

    assert run(lambda connection, _: say(OK) if connection else None, act, connections=1) == (b"{}", 2)


def test_an_idle_connection_that_the_server_closed_is_replaced_without_a_failure() -> None:
    async def act(ask: Ask) -> list[int]:
        for _ in range(5):
            await ask()
            ask.played.close_all()
            await ask.played.until_open(0)
        return list(map(len, ask.played.requests))

    assert run(lambda *_: say(OK), act) == [1, 1, 1, 1, 1]


def test_a_connection_on_which_the_server_spoke_unasked_is_not_used() -> None:
    async def act(ask: Ask) -> tuple[bytes, list[int]]:
        await ask()
        for writer in ask.played.writers:
            writer.write(with_length(b"not yours", status=b"408 Request Timeout"))
        await ask.played.until_open(0)
        return (await ask()).raw, list(map(len, ask.played.requests))

    assert run(lambda *_: say(OK), act) == (b"{}", [1, 1])


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "PUT"])
def test_a_request_whose_connection_closes_under_it_is_not_sent_again(method: str) -> None:
    """The server takes the first request, and closes with nothing said when the second comes on the same connection."""

    async def act(ask: Ask) -> tuple[CallError, list[int]]:
        await ask(method=method)
        return await fails(ask, method=method), list(map(len, ask.played.requests))

    error, requests = run(lambda connection, request: say(close=True) if request else say(OK), act)
    assert type(error) is TransientError
    assert requests == [2]


def test_connections_that_are_idle_too_long_are_closed() -> None:
    async def act(ask: Ask) -> list[int]:
        await asyncio.gather(ask(), ask())
        await ask.played.until_open(0)
        await ask()
        return list(map(len, ask.played.requests))

    assert run(lambda *_: say(OK), act, keep_alive_s=0.05) == [1, 1, 1]


def test_each_request_has_its_own_deadline() -> None:
    async def act(ask: Ask) -> list[float]:
        loop = asyncio.get_running_loop()
        started_s = loop.time()

        async def one(timeout_s: float) -> float:
            error = await fails(ask, timeout_s=timeout_s)
            assert type(error) is CallTimeout
            assert f"no whole answer within {timeout_s:g} s" in str(error)
            return loop.time() - started_s

        took_s = [*await asyncio.gather(one(0.3), one(0.1), one(0.2), one(0.1))]
        await ask.played.until_open(0)
        return took_s

    took_s = run(lambda *_: say(HEAD), act)
    for took, allowed in zip(took_s, (0.3, 0.1, 0.2, 0.1), strict=True):
        assert allowed - 0.001 < took < 5


def test_a_request_outlives_the_deadline_of_another() -> None:
    async def act(ask: Ask) -> tuple[type[CallError], bytes]:
        patient = asyncio.create_task(ask(timeout_s=60))
        while not ask.played.all():
            await asyncio.sleep(0)
        late = await fails(ask, timeout_s=0.1)
        await ask.played.until_open(1)
        (writer,) = ask.played.writers
        writer.write(OK)
        return type(late), (await patient).raw

    assert run(lambda *_: None, act) == (CallTimeout, b"{}")


def test_closing_ends_what_is_in_flight_and_the_channel_can_be_used_again() -> None:
    async def act(ask: Ask) -> bytes:
        first = asyncio.create_task(fails(ask))
        while not ask.played.all():
            await asyncio.sleep(0)
        await ask.channel.aclose()
        assert type(await first) is TransientError
        await ask.played.until_open(0)
        return (await ask()).raw

    assert run(lambda connection, _: say(OK) if connection else None, act) == b"{}"


def test_a_large_request_is_sent_whole() -> None:
    async def act(ask: Ask) -> int:
        payload = b"x" * 5_000_000
        await ask.channel.exchange(
            "POST", ask.played.url, headers={}, payload=payload, timeout_s=30, scrubber=Scrubber(())
        )
        return len(ask.played.all()[0].partition(b"\r\n\r\n")[2])

    assert run(lambda *_: say(OK), act) == 5_000_000
