"""One connection takes an answer however its bytes are cut, and never mistakes something else for one."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.providers.http_connection import LARGEST_HEAD_BYTES, Broken, Connection, Heard, TooLarge
from llm_jobs.providers.http_content import Inflated, Torn, UnknownCoding, decoded

OK = b"HTTP/1.1 200 OK\r\n"
WITH_LENGTH = OK + b"Content-Type: application/json\r\nX-Id:  7 \r\nContent-Length: 11\r\n\r\n" + b'{"a": "b"}\n'
CHUNKED = OK + b'transfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n7;x=y\r\n: "b"}\n\r\n0\r\n\r\n'
AFTER_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + WITH_LENGTH
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nx-id: 7\r\n\r\n"
EMPTY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
CLOSING = OK + b"connection: close\r\ncontent-length: 11\r\n\r\n" + b'{"a": "b"}\n'
OLD = b"HTTP/1.0 200 OK\r\ncontent-length: 11\r\n\r\n" + b'{"a": "b"}\n'
UNTIL_END = OK + b"content-type: text/plain\r\n\r\n" + b'{"a": "b"}\n'
TRAILERS = OK + b'transfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n7\r\n: "b"}\n\r\n0\r\nx-late: 1\r\n\r\n'

# The answer, its status and body, and whether the connection may be used again.
ANSWERS: dict[str, tuple[bytes, int, bytes, bool]] = {
    "length": (WITH_LENGTH, 200, b'{"a": "b"}\n', True),
    "chunked": (CHUNKED, 200, b'{"a": "b"}\n', True),
    "continue": (AFTER_CONTINUE, 200, b'{"a": "b"}\n', True),
    "no content": (NO_CONTENT, 204, b"", True),
    "empty": (EMPTY, 429, b"", True),
    "closing": (CLOSING, 200, b'{"a": "b"}\n', False),
    "old": (OLD, 200, b'{"a": "b"}\n', False),
    "trailers": (TRAILERS, 200, b'{"a": "b"}\n', False),
}


class Wire(asyncio.Transport):
    """A transport that keeps what is written and closes as the loop's own do: in the next turn."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False
        self.left = 0
        self._connection = connection
        self._loop = loop

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            self._loop.call_soon(self._connection.connection_lost, None)


class Line:
    """A connection on a `Wire`, and what comes in on it."""

    def __init__(self, *, largest_bytes: int = 1_000_000) -> None:
        loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(1_000_000))
        self.connection = Connection(self.buffer, loop, largest_bytes=largest_bytes)
        self.wire = Wire(self.connection, loop)
        self.connection.connection_made(self.wire)

    def ask(self) -> asyncio.Future[Heard]:
        return self.connection.ask(b"POST / HTTP/1.1\r\n\r\n", b"")

    def hear(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if self.wire.aborted:
                return
            self.buffer[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))
            self.buffer[: len(piece)] = bytes(len(piece))  # what was parsed is not looked at again

    def end(self, error: Exception | None = None) -> None:
        self.connection.eof_received()
        self.connection.connection_lost(error)


def cut(raw: bytes, at: Sequence[int]) -> list[bytes]:
    places = sorted({0, *(place for place in at if place < len(raw)), len(raw)})
    return [raw[start:end] for start, end in pairwise(places)]


async def heard(raw: bytes, at: Sequence[int]) -> tuple[Heard, bool]:
    line = Line()
    answer = line.ask()
    line.hear(cut(raw, at))
    return await answer, line.connection.usable


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_the_same_wherever_it_is_cut_in_two(name: str) -> None:
    async def listen() -> None:
        raw, status, body, usable = ANSWERS[name]
        for place in range(len(raw)):
            found = await heard(raw, [place])
            assert found == (Heard(status, found[0].fields, body), usable), place
            assert all(key == key.strip() for key in found[0].fields)

    asyncio.run(listen())


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(ANSWERS)), at=st.lists(st.integers(0, 200), max_size=30), data=st.data())
def test_an_answer_is_the_same_in_any_pieces_and_the_next_one_too(
    name: str, at: list[int], data: st.DataObject
) -> None:
    async def listen() -> None:
        line = Line()
        raw, status, body, usable = ANSWERS[name]
        answer = line.ask()
        line.hear(cut(raw, at))
        assert (await answer)[::2] == (status, body)
        assert line.connection.usable is usable
        if usable:
            second, status, body, _ = ANSWERS[data.draw(st.sampled_from(sorted(ANSWERS)))]
            answer = line.ask()
            line.hear(cut(second, at))
            assert (await answer)[::2] == (status, body)

    asyncio.run(listen())


def test_headers_come_as_they_are_and_those_of_an_earlier_answer_do_not() -> None:
    async def listen() -> None:
        line = Line()
        first = line.ask()
        line.hear([WITH_LENGTH])
        assert (await first).fields[b"X-Id"].strip() == b"7"
        second = line.ask()
        line.hear([EMPTY])
        assert (await second).fields == {b"retry-after": b"7", b"content-length": b"0"}

    asyncio.run(listen())


@settings(deadline=None)
@given(st.lists(st.integers(0, len(UNTIL_END)), max_size=10))
def test_a_body_without_a_length_ends_with_the_connection(at: list[int]) -> None:
    async def listen() -> None:
        line = Line()
        answer = line.ask()
        line.hear(cut(UNTIL_END, at))
        assert not answer.done()
        line.end()
        assert (await answer)[::2] == (200, b'{"a": "b"}\n')

    asyncio.run(listen())


@pytest.mark.parametrize("name", [*ANSWERS, "until end"])
def test_an_answer_that_breaks_off_is_none(name: str) -> None:
    async def listen() -> None:
        raw = ANSWERS[name][0] if name in ANSWERS else UNTIL_END
        until_end = name == "until end"
        for length in range(UNTIL_END.index(b"\r\n\r\n") + 4 if until_end else len(raw)):
            line = Line()
            answer = line.ask()
            line.hear([raw[:length]] if length else [])
            line.end()
            with pytest.raises(Broken):
                await answer

    asyncio.run(listen())


def test_a_connection_that_fails_takes_its_answer_with_it() -> None:
    async def listen() -> None:
        line = Line()
        answer = line.ask()
        line.hear([UNTIL_END])
        line.end(ConnectionResetError("by peer"))
        with pytest.raises(Broken, match="ConnectionResetError: by peer"):
            await answer

    asyncio.run(listen())


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"220 smtp.example ESMTP\r\n",
        OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        OK + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n",
        OK + b"a header: 1\r\n\r\n",
        OK + b"x: a\x00b\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_not_http_is_no_answer_and_ends_the_connection(raw: bytes) -> None:
    async def listen() -> None:
        line = Line()
        answer = line.ask()
        line.hear([raw])
        with pytest.raises(Broken, match="is not HTTP"):
            await answer
        assert line.wire.aborted

    asyncio.run(listen())


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_at_all_raise_into_the_loop(raw: bytes, at: list[int]) -> None:
    async def listen() -> None:
        for start in (b"", OK, WITH_LENGTH[:30], CHUNKED[:50]):
            line = Line()
            answer = line.ask()
            line.hear(cut(start + raw, at))
            line.end()
            await asyncio.wait([answer])
            assert answer.exception() is None or isinstance(answer.exception(), Broken)

    asyncio.run(listen())


@pytest.mark.parametrize("extra", [b"x", WITH_LENGTH, b"HTTP/1.1 200 OK\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_a_connection_that_says_more_than_it_was_asked_is_not_used_again(extra: bytes, together: bool) -> None:
    async def listen() -> None:
        line = Line()
        answer = line.ask()
        line.hear([WITH_LENGTH + extra] if together else [WITH_LENGTH, extra])
        assert (await answer).body == b'{"a": "b"}\n'
        assert line.wire.aborted
        assert not line.connection.usable

    asyncio.run(listen())


def test_trailers_do_not_become_headers_of_this_answer_or_the_next() -> None:
    async def listen() -> None:
        line = Line()
        answer = line.ask()
        line.hear([TRAILERS])
        assert (await answer).fields == {b"transfer-encoding": b"chunked"}
        assert line.wire.aborted

    asyncio.run(listen())


def test_an_answer_that_comes_before_the_request_is_written_ends_the_connection() -> None:
    async def listen() -> None:
        line = Line()
        answer = line.ask()
        line.wire.left = 10
        line.hear([EMPTY])
        assert (await answer).status == 429
        assert line.wire.aborted

    asyncio.run(listen())


def test_an_answer_larger_than_allowed_is_refused_before_it_is_whole() -> None:
    async def listen(pieces: list[bytes], match: str) -> None:
        line = Line(largest_bytes=10_000)
        answer = line.ask()
        line.hear(pieces)
        with pytest.raises(TooLarge, match=match):
            await answer
        assert line.wire.aborted

    header = b"x-%d: " + b"y" * 10_000 + b"\r\n"
    asyncio.run(listen([OK, *[header % at for at in range(LARGEST_HEAD_BYTES // 10_000 + 1)]], "head"))
    asyncio.run(listen([OK + b"x: ", *[b"y" * 10_000] * (LARGEST_HEAD_BYTES // 10_000 + 1)], "head"))
    asyncio.run(listen([b"HTTP/1.1 100 Continue\r\n\r\n"] * (LARGEST_HEAD_BYTES // 20), "head"))
    asyncio.run(listen([OK + b"content-length: 50000\r\n\r\n", *[b"z" * 1000] * 49], "body"))
    asyncio.run(listen([OK + b"transfer-encoding: chunked\r\n\r\n", *[b"1\r\nz\r\n"] * 10_000], "body"))


def test_a_large_payload_is_written_whole() -> None:
    async def listen() -> None:
        line = Line()
        payload = b"p" * 200_000
        line.connection.ask(b"head", payload)
        assert b"".join(line.wire.written) == b"head" + payload
        line.connection.abort()

    asyncio.run(listen())


def test_a_request_on_a_connection_that_was_lost_fails_and_is_not_written() -> None:
    async def listen() -> None:
        line = Line()
        line.end()
        with pytest.raises(Broken, match="closed"):
            await line.ask()
        assert line.wire.written == []

    asyncio.run(listen())


RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
CODED = {
    "gzip": gzip.compress(b"text"),
    "x-gzip": gzip.compress(b"te") + gzip.compress(b"xt"),
    "deflate": zlib.compress(b"text"),
    " Deflate , identity": RAW_DEFLATE.compress(b"text") + RAW_DEFLATE.flush(),
    "deflate, gzip": gzip.compress(zlib.compress(b"text")),
    "identity": b"text",
    "": b"text",
}


@pytest.mark.parametrize("coding", CODED)
def test_an_encoding_that_nobody_asked_for_is_undone_if_it_is_known(coding: str) -> None:
    assert decoded(CODED[coding], coding, limit=30) == b"text"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_body_must_be_whole(coding: str) -> None:
    for length in range(len(CODED[coding])):
        with pytest.raises(Torn):
            decoded(CODED[coding][:length], coding, limit=100)


def test_a_small_body_that_stands_for_a_huge_one_is_refused() -> None:
    with pytest.raises(Inflated, match="1,000,000"):
        decoded(gzip.compress(bytes(100_000_000)), "gzip", limit=1_000_000)
    with pytest.raises(Inflated):
        decoded(gzip.compress(bytes(600)) * 2, "gzip", limit=1000)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br"])
def test_an_unknown_encoding_is_not_guessed(coding: str) -> None:
    with pytest.raises(UnknownCoding):
        decoded(b"text", coding, limit=100)
