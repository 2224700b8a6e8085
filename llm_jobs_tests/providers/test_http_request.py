"""The bytes of a request are those that were meant: nothing in an address, a header or a key can add to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.providers.http_request import Prepared, Unwritable, prepare, shown

KEY = "Bearer sk-secret-é"


def lines(prepared: Prepared, payload: bytes | None = b"{}") -> list[str]:
    head = prepared.head(payload).decode()
    assert head.endswith("\r\n\r\n")
    return head[:-4].split("\r\n")


def test_a_request_says_what_it_must_and_nothing_else() -> None:
    headers = {"Content-Type": "application/json", "accept": "application/json", "Authorization": KEY}
    assert lines(prepare("POST", "https://api.example.com/v1/chat?a=b", headers)) == [
        "POST /v1/chat?a=b HTTP/1.1",
        "host: api.example.com",
        "content-type: application/json",
        "accept: application/json",
        f"authorization: {KEY}",
        "user-agent: llm-jobs",
        "accept-encoding: identity",
        "content-length: 2",
    ]


@pytest.mark.parametrize(
    ("method", "payload", "length"),
    [
        ("POST", b"abc", "content-length: 3"),
        ("POST", b"", "content-length: 0"),
        ("POST", None, "content-length: 0"),
        ("PUT", None, "content-length: 0"),
        ("GET", None, "accept: */*"),
        ("DELETE", None, "accept: */*"),
        ("DELETE", b"abc", "content-length: 3"),
    ],
)
def test_the_length_of_a_body_is_told_where_there_may_be_one(method: str, payload: bytes | None, length: str) -> None:
    assert lines(prepare(method, "http://h/", {}), payload)[-1] == length


@pytest.mark.parametrize(
    ("url", "host", "target", "origin"),
    [
        ("http://h", "h", "/", "http://h"),
        ("HTTP://H.Example:80/a", "h.example", "/a", "http://h.example"),
        ("https://h:443/a", "h", "/a", "https://h"),
        ("https://h:8443/a?b=c", "h:8443", "/a?b=c", "https://h:8443"),
        ("http://h:443/", "h:443", "/", "http://h:443"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000", "/v1", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/v1", "[::1]:8000", "/v1", "http://[::1]:8000"),
        ("http://[FE80::1%eth0]/v1", "[fe80::1]", "/v1", "http://[fe80::1]"),
        ("http://bücher.example/ü?ö=1", "xn--bcher-kva.example", "/%C3%BC?%C3%B6=1", "http://xn--bcher-kva.example"),
        ("http://h/a%20b%2Fc%zz", "h", "/a%20b%2Fc%25zz", "http://h"),
        ('http://h/a b"<>{}|^`\\?x=y z', "h", "/a%20b%22%3C%3E%7B%7D%7C%5E%60%5C?x=y%20z", "http://h"),
        ("http://h/a?k=1#fragment", "h", "/a?k=1", "http://h"),
        ("http://h/a\r\nx: y", "h", "/ax:%20y", "http://h"),
        ("http://h/a/../b", "h", "/a/../b", "http://h"),
    ],
)
def test_an_address_is_taken_apart(url: str, host: str, target: str, origin: str) -> None:
    prepared = prepare("GET", url, {})
    assert lines(prepared, None)[:2] == [f"GET {target} HTTP/1.1", f"host: {host}"]
    assert prepared.origin.shown == origin == shown(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/a",
        "ftp://h/a",
        "http://",
        "http://user:secret@h/",
        "http://h:0/",
        "http://h:99999/",
        "http://h:x/",
        "http://[::1/",
        "http://a b/",
        "http://h\x00/",
        "http://h/\ud800",
        f"http://{'ü' * 100}.example/",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Unwritable) as caught:
        prepare("POST", url, {})
    assert "secret" not in str(caught.value)
    assert shown(url) == "its address"


@pytest.mark.parametrize("method", ["", "post", "POST /x", "GET\r\n", "HEAD", "CONNECT"])
def test_a_method_whose_answer_ends_otherwise_is_refused(method: str) -> None:
    with pytest.raises(Unwritable, match="method"):
        prepare(method, "http://h/", {})


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x0b", "\x1f", "\x7f", "\ud800"])
@pytest.mark.parametrize("place", ["{}secret", "sec{}ret", "secret{}"])
def test_a_value_that_would_end_its_header_is_refused_and_not_told(end: str, place: str) -> None:
    with pytest.raises(Unwritable, match="the header authorization") as caught:
        prepare("POST", "http://h/", {"Authorization": place.format(end)})
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é", "x" * 300])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(Unwritable, match="a name"):
        prepare("POST", "http://h/", {name: "value"})


@pytest.mark.parametrize("name", ["Host", "Content-Length", "transfer-encoding", "Connection", "Upgrade", "Expect"])
def test_nobody_else_says_where_a_message_ends_or_whose_connection_it_is(name: str) -> None:
    with pytest.raises(Unwritable, match=name.lower()):
        prepare("POST", "http://h/", {name: "chunked"})


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=4), st.text(max_size=30))
def test_no_header_and_no_path_adds_a_line(headers: dict[str, str], path: str) -> None:
    try:
        prepared = prepare("POST", f"http://h/{path}", headers)
    except Unwritable:
        return
    found = lines(prepared)
    added = {"user-agent", "accept-encoding", "accept"} - {name.lower() for name in headers}
    assert len(found) == 2 + len(headers) + len(added) + 1
    assert found[0].count(" ") == 2
    assert found[1] == "host: h"


def test_what_was_prepared_shows_no_key() -> None:
    assert "secret" not in repr(prepare("POST", "http://h/", {"authorization": KEY}))
