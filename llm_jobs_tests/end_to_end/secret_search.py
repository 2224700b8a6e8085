"""Looks for secrets in everything that a run leaves behind, whichever way they are written.

A text is searched after every escape in it is undone (percent, JSON, HTML, nested ones too), and a secret counts as
found when 14 characters of it in a row are there, in clear or inside base64: half a key is a leak, too. What
holds bytes inside is opened: SQLite and PostgreSQL columns, zstd frames, Parquet columns.
"""

from __future__ import annotations

import base64
import html
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from llm_jobs.ledger.payloads import PayloadCodec

# Any 14 characters in a row hold one whole window.
WINDOW = 10
STEP = 5
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SQLITE_MAGIC = b"SQLite format 3\x00"
_NESTED = 5
_ESCAPE = re.compile(rb"\\+[uU]00([0-9a-fA-F]{2})|%([0-9a-fA-F]{2})|(&(?:#[0-9]{1,3}|#[xX][0-9a-fA-F]{1,4}|[a-z]+);)")

Texts = Iterable[tuple[str, bytes]]


class Search:
    """What is looked for: secrets by the name under which a leak is reported."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._plain = {name: tuple(_plain(secret)) for name, secret in secrets.items()}
        self._base64 = {name: tuple(_base64(secret)) for name, secret in secrets.items()}

    def leaks(self, texts: Texts) -> list[str]:
        """`place: name` of each secret that was found. The secret itself is not repeated."""
        return [f"{place}: {name}" for place, raw in texts for name in self._found(raw)]

    def _found(self, raw: bytes) -> Iterator[str]:
        readings = tuple(_readings(raw))
        lowered = tuple(reading.lower() for reading in readings)
        for name in self._plain:
            if _holds(lowered, self._plain[name]) or _holds(readings, self._base64[name]):
                yield name


def below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below `folder` as it lies there, its name, and what databases and Parquet files hold."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        yield f"the name {path}", str(path).encode()
        yield str(path), raw
        if raw.startswith(_SQLITE_MAGIC):
            yield from _sqlite(path)
        elif path.suffix == ".parquet":
            yield from _parquet(path)


def in_postgres(url: str) -> Iterator[tuple[str, bytes]]:
    """Every value of every table of a PostgreSQL database."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            yield from _values(f"PostgreSQL {table}", rows)


def _sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            name = table.decode()
            yield from _values(f"{path} {name}", connection.execute(f'SELECT * FROM "{name}"').fetchall())


def _parquet(path: Path) -> Iterator[tuple[str, bytes]]:
    table = pq.read_table(path)
    yield f"{path} metadata", repr(table.schema).encode() + repr(table.schema.metadata).encode()
    yield from (
        (f"{path} {name}", "\n".join(map(str, table[name].to_pylist())).encode()) for name in table.column_names
    )


def _values(place: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, bytes]]:
    """The values of a table in one piece, and apart from it each value that was compressed."""
    plain = []
    codec = PayloadCodec()  # opens frames with the ledger's dictionary, and without one
    for row in rows:
        for value in row:
            raw = value if isinstance(value, bytes) else str(value).encode()
            plain.append(raw)
            if raw.startswith(_ZSTD_MAGIC):
                plain.append(codec.unpack(raw))
    yield place, b"\n".join(plain)


def _holds(readings: Iterable[bytes], needles: Iterable[bytes]) -> bool:
    return any(needle in reading for reading in readings for needle in needles)


def _readings(raw: bytes) -> Iterator[bytes]:
    """`raw` without backslashes, and with its escapes undone, once and again."""
    for _ in range(_NESTED):
        yield raw.replace(b"\\", b"")
        undone = _ESCAPE.sub(_undone, raw)
        if undone == raw:
            return
        raw = undone


def _undone(match: re.Match[bytes]) -> bytes:
    if match[3]:
        return html.unescape(match[3].decode()).encode()
    return bytes([int(match[1] or match[2], 16)])


def _plain(secret: str) -> Iterator[bytes]:
    yield from _windows(secret.encode().replace(b"\\", b"").lower())


def _base64(secret: str) -> Iterator[bytes]:
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret.encode() + bytes(2))
        core = encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        yield from _windows(core)
        yield from _windows(core.replace(b"+", b"-").replace(b"/", b"_"))


def _windows(needle: bytes) -> Iterator[bytes]:
    for at in range(0, max(1, len(needle) - WINDOW + 1), STEP):
        yield needle[at : at + WINDOW]
