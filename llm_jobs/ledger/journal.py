"""The journal: outcomes that came and are not committed yet, in files beside a SQLite ledger that a kill does not undo.

It lets commits wait until they are worth their cost: an outcome is written here in some microseconds. Nothing is
synced, for nobody is told of an outcome before its commit, and that is. Two files take turns: one takes what comes
while the outcomes of the other are committed. Their writer holds a lock (flock) on both that goes with its process, so
a file without one was left by a process that was killed or failed, and whoever meets it has its outcomes committed.
"""

from __future__ import annotations

import functools
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet

import orjson

from llm_jobs.errors import SetupError
from llm_jobs.files import lock
from llm_jobs.ledger.base import Facts, Outcome
from llm_jobs.ledger.records import FACT_COLUMNS, fact_values

_CHECKSUM = struct.Struct(">I")  # of the rest of the record
_LENGTHS = struct.Struct(">III")  # of the facts, the request and the answer, which follow
_NO_ANSWER = 0xFFFFFFFF
_journals: WeakSet[FileJournal] = WeakSet()


class FileJournal:
    """The journal of one owner, in two files beside `ledger`."""

    def __init__(self, ledger: Path, owner_id: int) -> None:
        self._ledger = ledger
        self._paths = [_path(ledger, owner_id, turn) for turn in (0, 1)]
        self._handles: list[int] = []
        self._turn = 0
        _journals.add(self)
        _leave_to_parents()

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        records = b"".join(map(_packed, outcomes))
        try:
            while len(self._handles) < len(self._paths):
                self._handles.append(_locked_file(self._paths[len(self._handles)], like=self._ledger))
            if os.write(self._handles[self._turn], records) < len(records):
                raise OSError(None, "the disk is full")
        except OSError as error:
            raise SetupError(
                f"the ledger's journal {self._paths[self._turn]} cannot be written ({error.strerror}): check the disk "
                "and who owns the folder, then run again; what is answered is kept"
            ) from error

    def begin_commit(self) -> None:
        self._turn = 1 - self._turn

    def end_commit(self) -> None:
        if self._handles:
            os.ftruncate(self._handles[1 - self._turn], 0)

    def remove(self) -> None:
        if self._handles:
            for path in self._paths:
                path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        handles, self._handles = self._handles, []
        for handle in handles:
            os.close(handle)


@functools.cache
def _leave_to_parents() -> None:
    """A process that is forked from this one has the handles too, and with them the locks, after this one's end."""
    os.register_at_fork(after_in_child=_leave_all)


def _leave_all() -> None:
    for journal in list(_journals):
        journal.leave()


def journal_files(ledger: Path, owner_id: int | None = None) -> Sequence[tuple[int, Path]]:
    """The files of the owner's journal, or of all owners', each with its owner's id."""
    if owner_id is not None:
        return [(owner_id, path) for turn in (0, 1) if (path := _path(ledger, owner_id, turn)).exists()]
    pattern = re.compile(re.escape(ledger.name) + r"-outcomes-([0-9]+)-[01]")
    found = [match for name in os.listdir(ledger.parent) if (match := pattern.fullmatch(name))]
    return [(int(match[1]), ledger.parent / match[0]) for match in found]


def is_at_work(path: Path) -> bool:
    """Does a process write this file of a journal, or take it up?"""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not lock(handle)
    finally:
        os.close(handle)


@contextmanager
def left_behind(path: Path) -> Iterator[Sequence[Outcome]]:
    """What another process left in this file, which is removed once the block has ended without an error. Nothing
    where a process is at work on it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield ()
        return
    with open(handle, "rb") as file:
        if lock(handle) and _is_in_place(handle):
            yield list(_unpacked(file.read()))
            path.unlink(missing_ok=True)
        else:
            yield ()


def _is_in_place(handle: int) -> bool:
    """Nobody has taken the file up, and removed it, before it was locked."""
    return os.fstat(handle).st_nlink > 0


def _path(ledger: Path, owner_id: int, turn: int) -> Path:
    return Path(f"{ledger}-outcomes-{owner_id}-{turn}")


def _locked_file(path: Path, *, like: Path) -> int:
    """A handle on the file at `path` that holds its lock, with the owner and the access rights of the file `like`."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if lock(handle) and _is_in_place(handle):
            status = like.stat()
            if os.geteuid() == 0:
                os.fchown(handle, status.st_uid, status.st_gid)
            os.fchmod(handle, status.st_mode & 0o777)
            return handle
        os.close(handle)


def _packed(outcome: Outcome) -> bytes:
    head = orjson.dumps((outcome.intent_id, outcome.call_hash, outcome.final, *fact_values(outcome.facts)))
    request, answer = outcome.request, outcome.answer
    lengths = _LENGTHS.pack(len(head), len(request), _NO_ANSWER if answer is None else len(answer))
    rest = b"".join((lengths, head, request, answer or b""))
    return _CHECKSUM.pack(zlib.crc32(rest)) + rest


def _unpacked(data: bytes) -> Iterator[Outcome]:
    """The outcomes that were written whole: a kill may leave a part of the last one."""
    start = 0
    while len(data) - start >= _CHECKSUM.size + _LENGTHS.size:
        lengths = _LENGTHS.unpack_from(data, start + _CHECKSUM.size)
        parts, end = [], start + _CHECKSUM.size + _LENGTHS.size
        for length in lengths:
            begin, end = end, end + (0 if length == _NO_ANSWER else length)
            parts.append(data[begin:end])
        (checksum,) = _CHECKSUM.unpack_from(data, start)
        if end > len(data) or zlib.crc32(data[start + _CHECKSUM.size : end]) != checksum:
            return
        intent_id, call_hash, final, *facts = orjson.loads(parts[0])
        yield Outcome(
            intent_id=intent_id,
            call_hash=call_hash,
            facts=Facts(**dict(zip(FACT_COLUMNS, facts, strict=False))),  # later versions add more at the end
            final=final,
            request=parts[1],
            answer=None if lengths[2] == _NO_ANSWER else parts[2],
        )
        start = end
