"""What goes over the wire first: an address taken apart, headers checked and written. Pure.

Invariant: no text of a document or of the environment ends a header early. What would is refused, in words that hold
no value: it may be a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_METHOD = re.compile("[A-Z]{1,16}")
_NAME = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_NOT_IN_VALUES = re.compile("[\0-\x08\x0a-\x1f\x7f]")
_HOST = re.compile("[0-9A-Za-z._:%~-]{1,255}")
_NOT_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})")
_IN_TARGETS = "!$&'()*+,;=:@/?-._~%"
# Who writes these decides where a message ends or whose connection it is: that is this package alone.
_OURS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_WITHOUT_BODY = frozenset({"DELETE", "GET"})
_ANSWERED_WITHOUT_BODY = frozenset({"CONNECT", "HEAD"})  # a different end of an answer; nobody asks for one
# Answers are not compressed unless a server insists: it would cost more CPU than it saves, on both sides.
_DEFAULTS = {"user-agent": "llm-jobs", "accept-encoding": "identity", "accept": "*/*"}


class Unwritable(Exception):
    """HTTP cannot carry this request. The text says what is wrong with it and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go. `shown` is `scheme://host[:port]`, for people and as the name of a pool."""

    scheme: str
    host: str
    port: int
    shown: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request without its body: everything up to the digits of the content length.

    It may hold a key: whoever keeps one keeps it no longer than the key, and nothing shows it.
    """

    origin: Origin
    start: bytes = field(repr=False)
    bodiless: bytes = field(repr=False)  # the whole head where there is no payload

    def head(self, payload: bytes | None) -> bytes:
        """The head of the request with `payload`."""
        return self.bodiless if payload is None else b"%b%d\r\n\r\n" % (self.start, len(payload))


def prepare(method: str, url: str, headers: Mapping[str, str]) -> Prepared:
    """The request `method url` with `headers`. Raises Unwritable."""
    if not _METHOD.fullmatch(method) or method in _ANSWERED_WITHOUT_BODY:
        raise Unwritable("its method is none that can be sent")
    origin, authority, target = _taken_apart(url)
    names = [name.lower() for name in headers]
    lines = [f"{method} {target} HTTP/1.1", f"host: {authority}"]
    lines += [_line(name, value) for name, value in zip(names, headers.values(), strict=True)]
    lines += [f"{name}: {value}" for name, value in _DEFAULTS.items() if name not in names]
    head = "\r\n".join(lines).encode() + b"\r\n"
    # A method that has a body says so even when it is empty (RFC 9110, 8.6).
    ending = b"\r\n" if method in _WITHOUT_BODY else b"content-length: 0\r\n\r\n"
    return Prepared(origin, head + b"content-length: ", head + ending)


def shown(url: str) -> str:
    """The origin of `url` for a message, whatever `url` is."""
    try:
        return _taken_apart(url)[0].shown
    except Unwritable:
        return "its address"


def _line(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise Unwritable("a header has a name that HTTP does not allow")
    if name in _OURS:
        raise Unwritable(f"the header {name} is not for the request to set")
    if _NOT_IN_VALUES.search(value):
        raise Unwritable(f"the value of the header {name} holds a line break or another control character")
    if not _is_unicode(value):
        raise Unwritable(f"the value of the header {name} is no Unicode text")
    return f"{name}: {value}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _taken_apart(url: str) -> tuple[Origin, str, str]:
    """The origin, the authority as a server expects it, and the target, encoded where it was not."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        raise Unwritable("its address is none") from None
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or port == 0 or "@" in parts.netloc or not _HOST.fullmatch(host):
        raise Unwritable("its address is none of http or https with a host and without credentials")
    authority = f"[{host.partition('%')[0]}]" if ":" in host else host
    if port not in (None, default):
        authority += f":{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        target = quote(_NOT_ENCODED.sub("%25", target), safe=_IN_TARGETS)
    except UnicodeEncodeError:
        raise Unwritable("its address is no Unicode text") from None
    return Origin(parts.scheme, host, port or default, f"{parts.scheme}://{authority}"), authority, target
