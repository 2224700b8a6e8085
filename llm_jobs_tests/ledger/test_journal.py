"""The journal: what a killed process had been answered and had not committed."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm_jobs.clock import SetClock, WallClock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.base import Facts, Journal, Ledger, Outcome
from llm_jobs.ledger.faults import translate
from llm_jobs.ledger.journal import FileJournal, journal_files, left_behind
from llm_jobs.ledger.opening import open_ledger
from llm_jobs_tests.ledger.material import Asker, outcome
from llm_jobs_tests.ledger.test_processes import child, read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{path}", clock=WallClock())
    yield opened
    opened.close()


def reopened(path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{path}", clock=SetClock(1))


def journal_of(asker: Asker) -> Journal:
    journal = asker.ledger.journal(asker.owner_id)
    assert journal is not None
    return journal


def left(path: Path) -> list[Outcome]:
    with left_behind(path) as outcomes:
        return list(outcomes)


def kept(asker: Asker, *call_hashes: str) -> Journal:
    journal = journal_of(asker)
    journal.keep([outcome(call_hash, asker.claim(call_hash)) for call_hash in call_hashes])
    return journal


OUTCOMES = [
    outcome("a" * 32, 1),
    outcome("b" * 32, 2, "truncated", final=False, answer=b""),
    Outcome(
        intent_id=2**53,
        call_hash="c" * 32,
        facts=Facts(status="failed", error_class="Timeout", error="no \0 answer \ud800", latency_s=0.1 + 0.2),
        final=True,
        request='{"käse": "\\n"}'.encode(),
        answer=None,
    ),
]


def test_outcomes_are_read_back_as_they_were_kept(path: Path) -> None:
    path.touch()
    journal = FileJournal(path, 7)
    journal.keep(OUTCOMES[:2])
    journal.keep(OUTCOMES[2:])
    journal.leave()

    assert [(owner, name.name) for owner, name in sorted(journal_files(path))] == [
        (7, "ledger.db-outcomes-7-0"),
        (7, "ledger.db-outcomes-7-1"),
    ]
    read = [one for _, name in sorted(journal_files(path)) for one in left(name)]
    storable = replace(OUTCOMES[2].facts, error="no \ufffd answer \ufffd")
    assert read == [*OUTCOMES[:2], replace(OUTCOMES[2], facts=storable)]
    assert journal_files(path) == []


@pytest.mark.parametrize("cut", [1, 10, 20, 100])
def test_of_a_record_that_a_kill_cut_off_nothing_is_read_and_what_came_before_is(path: Path, cut: int) -> None:
    path.touch()
    journal = FileJournal(path, 7)
    journal.keep(OUTCOMES)
    journal.leave()
    [file, _] = sorted(name for _, name in journal_files(path))
    os.truncate(file, file.stat().st_size - cut)

    assert left(file) == OUTCOMES[:2]


def test_a_record_that_a_power_cut_spoiled_is_not_read(path: Path) -> None:
    path.touch()
    journal = FileJournal(path, 7)
    journal.keep(OUTCOMES)
    journal.leave()
    [file, _] = sorted(name for _, name in journal_files(path))
    file.write_bytes(file.read_bytes().replace(b"b" * 32, b"b" * 31 + b"c"))

    assert left(file) == OUTCOMES[:1]


def test_what_a_commit_holds_goes_from_the_journal_and_what_came_meanwhile_stays(path: Path) -> None:
    path.touch()
    journal = FileJournal(path, 7)
    journal.keep(OUTCOMES[:1])
    journal.begin_commit()
    journal.keep(OUTCOMES[1:2])
    journal.end_commit()
    journal.leave()

    assert [one for _, name in journal_files(path) for one in left(name)] == OUTCOMES[1:2]


def test_the_journal_of_a_process_that_lives_is_left_alone(path: Path, ledger: Ledger) -> None:
    asker = Asker(ledger)
    journal = kept(asker, "a")

    other = reopened(path)

    assert other.look_up(["a"]) == {}
    assert len(journal_files(path)) == 2
    journal.remove()
    assert journal_files(path) == []
    other.close()


def test_whoever_opens_the_ledger_commits_what_was_left_once(path: Path, ledger: Ledger) -> None:
    asker = Asker(ledger)
    kept(asker, "a", "b").leave()
    files = {name: name.read_bytes() for _, name in journal_files(path)}
    first = reopened(path)
    for name, content in files.items():  # a kill between the commit and the removal of the files
        name.write_bytes(content)

    again = reopened(path)

    assert set(again.look_up(["a", "b"])) == {"a", "b"}
    audit = again.audit()
    assert (audit.outcomes, audit.paid_twice, audit.unrecorded, audit.inconsistencies) == (2, 0, 0, ())
    assert journal_files(path) == []
    first.close()
    again.close()


def test_a_journal_is_found_by_whichever_name_its_ledger_is_opened(tmp_path: Path, path: Path, ledger: Ledger) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    linked = reopened(link)
    kept(Asker(linked), "a").leave()
    assert len(journal_files(path)) == 2

    again = reopened(path)

    assert set(again.look_up(["a"])) == {"a"}
    again.close()
    linked.close()


def test_outcomes_of_another_ledger_or_another_owner_are_not_committed(path: Path, ledger: Ledger) -> None:
    asker, other = Asker(ledger), Asker(ledger)
    intent_id, others = asker.claim("a"), other.claim("b")
    journal = journal_of(asker)
    journal.keep([outcome("b", intent_id), outcome("b", others), outcome("c", 99)])
    journal.leave()

    again = reopened(path)

    assert again.audit().outcomes == 0
    again.close()


def test_a_retry_goes_on_after_a_failure_that_was_left(path: Path, ledger: Ledger) -> None:
    with child(f"sqlite:///{path}", "hold", "a") as holder:
        read(holder)
        [(owner_id, intent_id)] = [(1, one.intent_id) for one in ledger.unrecorded()]
        holder.kill()
        holder.wait()
    journal = FileJournal(path, owner_id)
    journal.keep([outcome("a", intent_id, "failed", final=False)])
    journal.leave()

    assert set(Asker(ledger).ask("a").granted) == {"a"}
    assert [facts.status for _, facts, _, _ in ledger.attempts("a")] == ["failed"]


def test_whoever_wants_what_a_killed_process_was_answered_gets_that_answer(path: Path, ledger: Ledger) -> None:
    asker = Asker(ledger)
    with child(f"sqlite:///{path}", "keep", "a", "b") as keeper:
        assert read(keeper) == ["kept"]
        assert set(asker.ask("a").busy) == {"a"}
        keeper.kill()
        keeper.wait()

        done = asker.ask("a", "b", "c")

    assert (set(done.answered), set(done.granted)) == ({"a", "b"}, {"c"})
    assert {row.call_hash for row in ledger.unrecorded()} == {"c"}
    assert journal_files(path) == []


def test_what_a_killed_process_had_forked_does_not_keep_its_journal_from_others(path: Path, ledger: Ledger) -> None:
    asker = Asker(ledger)
    with child(f"sqlite:///{path}", "fork", "a") as keeper:
        assert read(keeper) == ["kept"]
        keeper.kill()
        keeper.wait()

        assert set(asker.ask("a").answered) == {"a"}


def test_a_dead_owners_claims_hold_while_somebody_takes_its_journal_up(path: Path, ledger: Ledger) -> None:
    asker = Asker(ledger)
    with child(f"sqlite:///{path}", "keep", "a") as keeper:
        read(keeper)
        keeper.kill()
        keeper.wait()
    [(_, first), _] = sorted(journal_files(path))

    with left_behind(first):
        assert set(asker.ask("a").busy) == {"a"}


def test_what_was_erased_does_not_come_back_from_a_journal_that_was_left(path: Path, ledger: Ledger) -> None:
    kept(Asker(ledger), "a").leave()

    ledger.erase(call_hashes=["a"], who="ada", why="asked to")

    assert journal_files(path) == []
    again = reopened(path)
    assert [(request, answer) for _, _, request, answer in again.attempts("a")] == [(b"", None)]
    again.close()


def test_a_journal_has_the_access_rights_of_its_ledger(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    journal = FileJournal(path, 7)
    journal.keep(OUTCOMES)

    assert {stat.S_IMODE(name.stat().st_mode) for _, name in journal_files(path)} == {0o640}
    journal.remove()


@pytest.mark.parametrize(("number", "remedy"), [(errno.EACCES, "check who owns"), (errno.ENOSPC, "free some space")])
def test_a_journal_that_cannot_be_taken_up_is_told_with_the_file_and_the_remedy(number: int, remedy: str) -> None:
    error = translate(OSError(number, os.strerror(number), "ledger.db-outcomes-7-0"), "sqlite:///ledger.db")

    assert isinstance(error, SetupError)
    assert remedy in str(error)
    assert "ledger.db-outcomes-7-0" in str(error)


def test_a_disk_that_is_full_is_told_with_the_file_and_the_remedy(path: Path) -> None:
    path.touch()
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from llm_jobs.errors import SetupError\n"
        "from llm_jobs.ledger.journal import FileJournal\n"
        "from llm_jobs_tests.ledger.material import outcome\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: FileJournal(Path(sys.argv[1]), 7).keep([outcome('a' * 32, 1, answer=b'a' * 2000)])\n"
        "except SetupError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True).stdout

    assert told == (
        f"the ledger's journal {path}-outcomes-7-0 cannot be written (the disk is full): check the disk and who owns "
        "the folder, then run again; what is answered is kept\n"
    )
