"""Identity: what makes two calls, or two jobs, the same. One canonical form, one hash, one version.

The canonical form is RFC 8785 (JSON Canonicalization Scheme): members sorted by UTF-16 code units, numbers as
ECMAScript prints them, no white space, UTF-8. Text is not normalised: it is the user's. A hash is the first 32
hexadecimal characters of the SHA-256 of that form. `IDENTITY_VERSION` is part of every hash and changes only with a
decision record: golden hashes in the tests hold it still.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from urllib.parse import urlsplit

IDENTITY_VERSION = 1
HASH_LENGTH = 32
LARGEST_EXACT_INTEGER = 2**53 - 1
KNOWN_SHAPES = 256  # sets of keys whose order is remembered

# Members of a request body that do not change what the model is asked (DESIGN.md §5). Everything else is identity.
TRANSPORT_FIELDS = frozenset(
    {
        "api_key",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "timeout",
        "user",
    }
)


def canonical_json(value: object) -> bytes:
    """`value` in the form of RFC 8785.

    Raises ValueError for what has no such form: NaN and infinities, integers beyond ±(2^53 - 1), lone surrogates,
    keys that are not text, and types that JSON does not know.
    """
    try:
        return _canonical(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"text with a lone surrogate ({error.object[error.start]!r}) has no UTF-8 form") from None


def _canonical(value: object) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)  # type: ignore[arg-type]
    if kind is dict:
        return _canonical_members(value)  # type: ignore[arg-type]
    if kind is list or kind is tuple:
        return "[" + ",".join([_canonical(item) for item in value]) + "]"  # type: ignore[attr-defined]
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return _canonical_integer(value)  # type: ignore[arg-type]
    if kind is float:
        return _canonical_float(value)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return _canonical_members(value)
    raise ValueError(f"{kind.__name__} is not a JSON type (value {value!r:.80})")


def _canonical_members(members: Mapping[str, object]) -> str:
    written = []
    for key, name in _in_order(tuple(members)):
        value = members[key]
        written.append(name + (encode_basestring(value) if type(value) is str else _canonical(value)))
    return "{" + ",".join(written) + "}"


@lru_cache(maxsize=KNOWN_SHAPES)
def _in_order(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The keys in their order, each with what is written of it. Objects of one kind have the same ones."""
    for key in keys:
        if not isinstance(key, str):
            raise ValueError(f"object keys are text, not {type(key).__name__} ({key!r:.80})")
    try:
        plain = all(map(str.isascii, keys))
        ordered = sorted(keys) if plain else sorted(keys, key=lambda key: key.encode("utf-16-be"))
    except UnicodeEncodeError as error:
        raise ValueError(f"a key with a lone surrogate ({error.object!r:.80}) has no UTF-8 form") from None
    return tuple((key, encode_basestring(key) + ":") for key in ordered)


def _canonical_integer(value: int) -> str:
    if -LARGEST_EXACT_INTEGER <= value <= LARGEST_EXACT_INTEGER:
        return str(value)
    raise ValueError(f"integer {value} is outside ±(2^53 - 1), where JSON numbers are exact; write it as text")


def _canonical_float(value: float) -> str:
    """ECMA-262 Number::toString: the shortest digits, plain between 1e-6 and 1e21, otherwise with an exponent."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len((whole + fraction).lstrip("0")))
    digits = digits.rstrip("0")
    return sign + _place_point(digits, point)


def _place_point(digits: str, point: int) -> str:
    """`digits` times 10**(point - len(digits)), written as ECMAScript does."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    exponent = point - 1
    mantissa = digits[0] + ("." + digits[1:] if count > 1 else "")
    return f"{mantissa}e{'+' if exponent >= 0 else '-'}{abs(exponent)}"


def hash_of(value: object) -> str:
    """The hash of a JSON value: 32 lower-case hexadecimal characters."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:HASH_LENGTH]


class CallIdentity:
    """Hashes the calls that go to one endpoint; what they share is brought into canonical form once."""

    __slots__ = ("_after",)

    def __init__(
        self, endpoint: Mapping[str, object], *, epoch: str | None = None, sample: int = 0, renewal: int = 0
    ) -> None:
        """`sample` 0 is the answer that a job without `sample` would ask for, so it is not in the hash. `renewal` n is
        the n-th time that the question is asked anew, and 0, which is not in the hash, the first time of all."""
        shared: dict[str, object] = {"endpoint": dict(endpoint), "version": IDENTITY_VERSION}
        if epoch is not None:
            shared["epoch"] = epoch
        if renewal:
            shared["renewal"] = renewal
        if sample:
            shared["sample"] = sample
        self._after = b"," + canonical_json(shared)[1:]

    def hash(self, body: Mapping[str, object]) -> str:
        """The call hash of a request body, transport fields left out. Raises ValueError as `canonical_json`."""
        if not TRANSPORT_FIELDS.isdisjoint(body):
            body = {key: value for key, value in body.items() if key not in TRANSPORT_FIELDS}
        # "body" sorts before every shared member, so the text is the canonical form of the whole.
        return hashlib.sha256(b'{"body":' + canonical_json(body) + self._after).hexdigest()[:HASH_LENGTH]


def rows_digest(rows: Iterable[Mapping[str, object]]) -> str:
    """SHA-256 (hexadecimal) of inline rows, in order, one canonical line each. Streams."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(canonical_line(row))
    return digest.hexdigest()


def canonical_line(row: Mapping[str, object]) -> bytes:
    """What one row contributes to `rows_digest`. Raises as `canonical_json`."""
    return canonical_json(row) + b"\n"


def normalised_url(url: str) -> str:
    """Scheme and host in lower case, default port, credentials, query, fragment and final slashes removed."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    default_port = {"http": 80, "https": 443}.get(parts.scheme.lower())
    port = "" if parts.port in (None, default_port) else f":{parts.port}"
    return f"{parts.scheme.lower()}://{host}{port}{parts.path.rstrip('/')}"
