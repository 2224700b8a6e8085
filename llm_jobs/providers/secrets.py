"""Keys: looked up by name at the moment of a call, sent to listed origins only, removed from all that comes back.

A value leaves the environment in two ways only: into the header of one request, and into the patterns of a
`Scrubber`. Neither is ever shown: `repr` of everything here names variables, not values.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import quote_plus

import orjson

REMOVED = "[removed secret]"
# Shorter values are placeholders of local servers (`x`, `EMPTY`, `ollama`): removing them would spoil answers.
SHORTEST_SECRET_CHARACTERS = 8

# What is sent encodes every sign of a secret; a server that writes its address anew leaves these as they are.
_LEFT_IN_QUERIES = "!$'()*,/:?@"
_CORE_BYTES = 8
_UNLIKE_PROSE = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_REMOVED_BYTES = REMOVED.encode()
# One escapes; more where JSON stands in a JSON text. Bounded and possessive, so that no search explodes.
_BACKSLASHES = rb"\\{1,16}+"
_PERCENT = rb"(?:%|\\{1,16}+[uU]0025)(?:25){0,3}"
# What HTML writes for a character, escaped again or not; every sign of it may be percent-encoded.
_SEMICOLON = b"(?:;|" + _PERCENT + b"3[bB])"
_AMPERSAND = rb"(?:&|" + _PERCENT + rb"26|\\{1,16}+[uU]0026)(?:amp" + _SEMICOLON + b"){0,3}"
_ENTITIES = {"&": b"amp", "<": b"lt", ">": b"gt", '"': b"quot", "'": b"apos"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Which variable holds a model's key, and the origins (`https://host[:port]`) that it may be sent to."""

    key_name: str | None
    origins: frozenset[str]


class KeyRing:
    """Looks keys up in `environment`, a live mapping, at the moment of each call."""

    def __init__(self, environment: Mapping[str, str], *, names: Iterable[str]) -> None:
        """`names` are all variables that hold a key: what any of them holds is removed from answers and errors."""
        self._environment = environment
        self._names = tuple(sorted(set(names)))
        self._seen: tuple[str | None, ...] | None = None
        self._scrubber = Scrubber(())

    def key(self, access: Access, origin: str) -> str | None:
        """The key of a model, where it is set and `origin` may have it."""
        if access.key_name is None or origin not in access.origins:
            return None
        return self._environment.get(access.key_name) or None

    def value(self, name: str) -> str | None:
        """The value of the variable `name`; the caller has checked where it goes."""
        return self._environment.get(name) or None

    def scrubber(self) -> Scrubber:
        """What removes every key that is set now."""
        get = self._environment.get
        values = tuple([get(name) for name in self._names])
        if values != self._seen:
            self._scrubber = Scrubber(value for value in values if value)
            self._seen = values
        return self._scrubber

    def __repr__(self) -> str:
        return f"KeyRing(names={self._names})"


class Scrubber:
    """Removes every form of some secrets: plain, percent-encoded, JSON- or HTML-escaped, nested, inside base64."""

    __slots__ = ("_cores", "_hints", "_needles", "_pattern")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._needles = _needles(secrets)
        self._cores = tuple(dict.fromkeys(_core(needle.encode("utf-8", "surrogateescape")) for needle in self._needles))
        self._hints = _hints("".join(self._needles)) if self._needles else ()
        self._pattern: re.Pattern[bytes] | None = None  # compiled when first needed: it is large

    def __repr__(self) -> str:
        return "Scrubber(...)"

    def raw(self, raw: bytes) -> bytes:
        """`raw` without secrets, itself where there is none. What was JSON stays JSON."""
        if not self.suspicious(raw):
            return raw
        cleaned = self._substituted(raw)
        if cleaned is raw or not _is_json(raw) or _is_json(cleaned):
            return cleaned
        return orjson.dumps(self._in_strings(orjson.loads(raw)))

    def text(self, text: str) -> str:
        """`text` without secrets."""
        raw = text.encode("utf-8", "surrogateescape")
        if not self.suspicious(raw):
            return text
        return self._substituted(raw).decode("utf-8", "surrogateescape")

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """`headers` without secrets, itself where there is none."""
        if self.text("\n".join(headers.values())).find(REMOVED) < 0:
            return headers
        return {name: self.text(value) for name, value in headers.items()}

    def suspicious(self, raw: bytes) -> bool:
        """Whether `raw` may hold a secret: cheap, and true wherever the whole pattern could match."""
        for core in self._cores:
            if core in raw:
                return True
        for sign, hints in self._hints:
            if sign in raw:
                for mark, hint in hints:
                    if mark in raw and (hint is None or hint.search(raw)):
                        return True
        return False

    def _substituted(self, raw: bytes) -> bytes:
        if self._pattern is None:
            forms = sorted(self._needles, key=len, reverse=True)
            self._pattern = re.compile(b"|".join(map(_any_form, forms)))
        cleaned, count = self._pattern.subn(_REMOVED_BYTES, raw)
        return cleaned if count else raw

    def _in_strings(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._in_strings(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self._in_strings(item) for key, item in value.items()}
        return value


def _is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def _needles(secrets: Iterable[str]) -> tuple[str, ...]:
    """The secrets, and what base64 makes of them wherever they stand in the encoded text (`Bearer KEY`, `user:KEY`)."""
    needles: dict[str, None] = {}
    kept = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET_CHARACTERS]
    for secret in dict.fromkeys([*kept, *(_in_query(each, safe) for each in kept for safe in ("", _LEFT_IN_QUERIES))]):
        needles[secret] = None
        raw = secret.encode("utf-8", "surrogateescape")
        for before in range(3):
            # Base64 makes 4 characters of 3 bytes; those that mix in a neighbour's bits are left out.
            encoded = base64.b64encode(bytes(before) + raw + bytes(2))
            core = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6].decode()
            needles[core] = None
            needles[core.replace("+", "-").replace("/", "_")] = None
    return tuple(needles)


def _in_query(secret: str, safe: str) -> str:
    """How `secret` is written in a URL's query on its way to a server, which may encode it again."""
    return quote_plus(secret, safe, errors="surrogateescape")


def _core(needle: bytes) -> bytes:
    """The part of a needle that is looked for first: short, for a long one is slow to look for, and unlike prose."""
    starts = range(max(1, len(needle) - _CORE_BYTES + 1))
    return max((needle[at : at + _CORE_BYTES] for at in starts), key=lambda part: sum(map(_UNLIKE_PROSE.count, part)))


_Hints = tuple[tuple[bytes, re.Pattern[bytes] | None], ...]


def _hints(characters: str) -> tuple[tuple[bytes, _Hints], ...]:
    """Per sign that begins an encoding: marks of one, each with a quick pattern that finds an encoded one of
    `characters` (None: the mark is enough)."""
    percent = {f"{byte:02x}" for byte in characters.encode("utf-8", "surrogateescape")}
    units = {f"{unit:04x}" for character in characters for unit in _utf16(character)}
    in_percent = re.compile(b"%(?:25){0,3}(?:" + b"|".join(_any_case(pair) for pair in sorted(percent)) + b")")
    in_units = re.compile(rb"\\u(?:0025|" + b"|".join(_any_case(unit) for unit in sorted(units)) + b")")
    with_percent: _Hints = ((b"%", in_percent),)
    with_backslash: _Hints = ((b"\\u", in_units), *((b"\\" + c.encode(), None) for c in '"/\\' if c in characters))
    hints: list[tuple[bytes, _Hints]] = []
    if escaped := [character for character in sorted(set(characters)) if _is_escaped_in_html(character)]:
        entity = re.compile(_AMPERSAND + b"(?:" + b"|".join(map(_entity, escaped)) + b")")
        with_percent += ((b"%26", entity), (b"%2526", entity))
        with_backslash += ((b"0026", entity),)
        hints.append((b"&", ((b"&", entity),)))
    if " " in characters:
        hints.append((b"+", ((b"+", None),)))
    return ((b"%", with_percent), (b"\\", with_backslash), *hints)


def _any_form(needle: str) -> bytes:
    return b"".join(_any_form_of_run(character, len(list(run))) for character, run in groupby(needle))


def _any_form_of_run(character: str, length: int) -> bytes:
    """A run of one character is one pattern: two neighbours that both match any number of backslashes explode."""
    raw = character.encode("utf-8", "surrogateescape")
    forms = [b"".join(_BACKSLASHES + b"[uU]" + _any_case(f"{unit:04x}") for unit in _utf16(character))]
    forms.append(b"".join(_PERCENT + _any_case(f"{byte:02x}") for byte in raw))
    if _is_escaped_in_html(character):
        forms.append(_AMPERSAND + _entity(character))
    count = b"{%d}" % length
    if character == "\\":
        return rb"(?:\\{%d,%d}|(?:" % (length, 32 * length) + b"|".join(forms) + b")" + count + b")"
    forms.append(rb"\\{0,16}+" + re.escape(raw) if character in '"/' else re.escape(raw))
    if character == " ":
        forms.append(rb"\+")
    return b"(?:" + b"|".join(reversed(forms)) + b")" + count


def _is_escaped_in_html(character: str) -> bool:
    """Whether some escaper writes an entity for it: the strictest leaves letters and digits alone."""
    return not (character.isascii() and character.isalnum())


def _entity(character: str) -> bytes:
    """What stands after the ampersand where HTML escapes `character`."""
    number = ord(character)
    numbers = b"(?:#|" + _PERCENT + b"23)(?:0{0,4}%d|[xX]0{0,4}" % number + _any_case(f"{number:x}") + b")"
    name = _ENTITIES.get(character)
    return (b"(?:" + name + b"|" + numbers + b")" if name else numbers) + _SEMICOLON


def _utf16(character: str) -> list[int]:
    encoded = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2)]


def _any_case(hexadecimal: str) -> bytes:
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in hexadecimal).encode()
