"""HTTP APIs as tables: every way to page, what passes is tried again, a token goes to one origin and into no text."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.job import Input
from llm_jobs.documents.table_sources import ApiSource, Paging
from llm_jobs.errors import DocumentError, LlmJobsError, SetupError
from llm_jobs.sources.freeze import FrozenInput, freeze
from llm_jobs.sources.reach import Reach
from llm_jobs.sources.tables import open_table
from llm_jobs_tests.servers.listing import Asked, ListingServer, Script, Told, listing_server

ROWS = [{"id": number, "said": f"text {number}"} for number in range(10)]
TOKEN = "tok-hunter22-secret"


class Slept:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def frozen(
    server: ListingServer, folder: Path, *, batch_size: int | None = None, slept: Slept | None = None, **api: Any
) -> FrozenInput:
    reach = Reach(
        environment={"LLM_JOBS_API_TOKEN": TOKEN},
        home=folder,
        allowed_hosts=(server.host,),
        sleep=slept or Slept(),
        wall_s=lambda: 1_700_000_000.0,
    )
    source = ApiSource(**{"endpoint": f"{server.url}/reviews", **api})
    given = Input(kind="api", digest="a", api=source, as_of_ns=1, batch_size=batch_size)
    return freeze(given, folder / "inputs", epoch_ns=1, reach=reach)


def rows_of(server: ListingServer, folder: Path, **api: Any) -> list[dict[str, Any]]:
    table = open_table(Input(kind="api", digest="a"), frozen(server, folder, **api))
    return [row for batch in table.batches() for row in batch]


def refused(script: Script, folder: Path, **api: Any) -> LlmJobsError:
    with listing_server(script) as server, pytest.raises(LlmJobsError) as caught:
        frozen(server, folder, **api)
    assert not list((folder / "inputs").glob("*.parquet"))
    return caught.value


def one_page(value: Any) -> Script:
    return lambda asked, before: Told(value=value)


def by_offset(asked: Asked, before: int) -> Told:
    start = int(asked.params["offset"])
    return Told(value={"data": ROWS[start : start + int(asked.params.get("limit", 4))]})


def by_page(asked: Asked, before: int) -> Told:
    start = (int(asked.params["page"]) - 1) * 4
    return Told(value=ROWS[start : start + 4])


def by_cursor(asked: Asked, before: int) -> Told:
    start = int(asked.params.get("cursor", 0))
    after = start + 4 if start + 4 < len(ROWS) else None
    return Told(value={"data": ROWS[start : start + 4], "meta": {"next": after}})


def by_address(asked: Asked, before: int) -> Told:
    start = int(asked.params.get("from", 0))
    after = f"?from={start + 4}" if start + 4 < len(ROWS) else ""
    return Told(value={"data": ROWS[start : start + 4], "next": after})


def by_link(asked: Asked, before: int) -> Told:
    start = int(asked.params.get("from", 0))
    headers = {"Link": f'</reviews?from={start + 4}>; rel="next"'} if start + 4 < len(ROWS) else {}
    return Told(value=ROWS[start : start + 4], headers=headers)


PAGED: list[tuple[Script, dict[str, Any]]] = [
    (one_page(ROWS), {}),
    (one_page({"a": {"b~/c": ROWS}}), {"rows": "/a/b~0~1c"}),
    (by_offset, {"rows": "/data", "paging": Paging(kind="offset", parameter="offset")}),
    (by_page, {"paging": Paging(kind="page", parameter="page", first=1)}),
    (by_cursor, {"rows": "/data", "paging": Paging(kind="next", pointer="/meta/next", parameter="cursor")}),
    (by_address, {"rows": "/data", "paging": Paging(kind="next", pointer="/next")}),
    (by_link, {"paging": Paging(kind="link")}),
]


@pytest.mark.parametrize(("script", "api"), PAGED)
def test_every_way_to_page_lists_every_row_once_in_order(tmp_path: Path, script: Script, api: dict[str, Any]) -> None:
    with listing_server(script) as server:
        assert rows_of(server, tmp_path, **api) == ROWS


def test_what_is_stated_is_what_is_asked(tmp_path: Path) -> None:
    with listing_server(one_page(ROWS)) as server:
        frozen(
            server,
            tmp_path,
            endpoint=f"{server.url}/reviews?kept=1",
            method="POST",
            params={"lang": "de", "new": True},
            body={"since": "2026"},
            headers={"X-Shop": "a", "X-Key": "${LLM_JOBS_API_TOKEN}"},
            bearer="LLM_JOBS_API_TOKEN",
            paging=Paging(kind="link", size="per_page"),
            batch_size=50,
        )
    [asked] = server.asked
    assert (asked.method, json.loads(asked.body)) == ("POST", {"since": "2026"})
    assert asked.params == {"kept": "1", "lang": "de", "new": "true", "per_page": "50"}
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert (asked.headers["x-shop"], asked.headers["x-key"]) == ("a", TOKEN)


def failing(*first: Told) -> Script:
    return lambda asked, before: first[before] if before < len(first) else Told(value=ROWS)


PASSING = [
    (Told(status=429, headers={"Retry-After": "7"}), 7.0),
    (Told(status=503, headers={"Retry-After": "Tue, 14 Nov 2023 22:13:30 GMT"}), 10.0),
    (Told(status=500), 1.0),
    (Told(status=429, headers={"Retry-After": "86400"}), 120.0),
    (Told(raw=b'[{"id": 1', claimed_bytes=500), 1.0),
]


@pytest.mark.parametrize(("told", "wait_s"), PASSING)
def test_what_may_pass_is_tried_again_when_the_server_says(tmp_path: Path, told: Told, wait_s: float) -> None:
    slept = Slept()
    with listing_server(failing(told)) as server:
        assert frozen(server, tmp_path, slept=slept).rows == len(ROWS)
    assert slept.waits == [wait_s]


def test_a_server_that_never_answers_well_is_an_error_of_the_surroundings(tmp_path: Path) -> None:
    slept = Slept()
    with (
        listing_server(lambda asked, before: Told(status=503)) as server,
        pytest.raises(SetupError, match="HTTP 503, 5 times"),
    ):
        frozen(server, tmp_path, slept=slept)
    assert (len(server.asked), slept.waits) == (5, [1.0, 2.0, 4.0, 8.0])


REFUSED: list[tuple[Script, dict[str, Any], type[LlmJobsError], str]] = [
    (lambda asked, before: Told(status=401), {}, SetupError, "HTTP 401"),
    (lambda asked, before: Told(status=404, value="gone"), {}, DocumentError, "HTTP 404, which begins '\"gone\"'"),
    (lambda asked, before: Told(raw=b"<html>hello</html>"), {}, DocumentError, "no JSON"),
    (one_page({"data": 1}), {"rows": "/data"}, DocumentError, "a number and no list at /data"),
    (one_page({"data": 1}), {"rows": "/rows"}, DocumentError, "there is nothing at /rows"),
    (one_page([{"a": 1}, 2]), {}, DocumentError, "row 2 is a number"),
    (one_page([]), {}, DocumentError, "lists no rows"),
    (lambda asked, before: Told(raw=b'[{"a": 1, "a": 2}]'), {}, DocumentError, "no JSON"),
    (lambda asked, before: Told(raw=b'[{"a": NaN}]'), {}, DocumentError, "no JSON"),
    (one_page([{"a": 1}, {"a": "x"}]), {}, DocumentError, "an integer (line 1) and text (line 2)"),
    (one_page([{"llm_input_error": "no"}]), {}, DocumentError, "would hide"),
    (one_page(ROWS), {"max_rows": 9}, DocumentError, "more than 9 rows"),
    (one_page(ROWS), {"max_bytes": 100}, DocumentError, "more than 100 bytes"),
    (
        one_page({"data": ROWS, "next": "/reviews"}),
        {"rows": "/data", "paging": Paging(kind="next", pointer="/next")},
        DocumentError,
        "read already",
    ),
    (
        one_page({"data": ROWS, "next": "http://127.0.0.2/reviews"}),
        {"rows": "/data", "paging": Paging(kind="next", pointer="/next")},
        DocumentError,
        "another host, http://127.0.0.2",
    ),
    (
        lambda asked, before: Told(status=302, headers={"Location": "http://elsewhere.example/reviews"}),
        {},
        DocumentError,
        "another host, http://elsewhere.example",
    ),
    (
        lambda asked, before: Told(status=302, headers={"Location": "/reviews"}),
        {},
        DocumentError,
        "redirects more than 5 times",
    ),
    (one_page(ROWS), {"endpoint": "http://unlisted.example/"}, SetupError, "LLM_JOBS_ALLOWED_HOSTS"),
    (one_page(ROWS), {"bearer": "NOT_SET"}, SetupError, "NOT_SET, which is not set"),
]


@pytest.mark.parametrize(("script", "api", "kind", "what"), REFUSED)
def test_what_is_no_table_is_refused_and_nothing_is_kept(
    tmp_path: Path, script: Script, api: dict[str, Any], kind: type[LlmJobsError], what: str
) -> None:
    error = refused(script, tmp_path, **api)
    assert isinstance(error, kind)
    assert what in str(error)


def test_a_redirect_on_the_same_host_is_followed(tmp_path: Path) -> None:
    def script(asked: Asked, before: int) -> Told:
        return Told(value=ROWS) if asked.path == "/new" else Told(status=307, headers={"Location": "/new"})

    with listing_server(script) as server:
        assert frozen(server, tmp_path).rows == len(ROWS)


ECHOES: list[Callable[[Asked, int], Told]] = [
    lambda asked, before: Told(status=400, value=dict(asked.headers)),
    lambda asked, before: Told(status=401, value=dict(asked.headers)),
    lambda asked, before: Told(raw=str(asked.headers).encode()),
    lambda asked, before: Told(status=302, headers={"Location": "http://elsewhere.example/"}),
    lambda asked, before: Told(status=500, value=dict(asked.headers)),
]


@pytest.mark.parametrize("script", ECHOES)
def test_no_error_repeats_a_token_that_a_server_repeats(tmp_path: Path, script: Script) -> None:
    error = refused(script, tmp_path, bearer="LLM_JOBS_API_TOKEN")
    assert TOKEN not in f"{error!r}{error}"


def test_a_page_that_grows_when_it_is_unpacked_is_counted_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps([{"a": "x" * 1_000_000}]).encode())
    script: Script = lambda asked, before: Told(raw=packed, headers={"Content-Encoding": "gzip"})  # noqa: E731
    assert "more than 100,000 bytes" in str(refused(script, tmp_path, max_bytes=100_000))


def test_two_readings_at_once_are_one_table_the_first_that_is_whole(tmp_path: Path) -> None:
    """The second begins while the first reads, finds other rows, and ends before it."""
    inner: list[FrozenInput] = []

    def script(asked: Asked, before: int) -> Told:
        if before == 0:
            inner.append(frozen(server, tmp_path))
            return Told(value=ROWS)
        return Told(value=ROWS[:3])

    with listing_server(script) as server:
        outer = frozen(server, tmp_path)
    assert [outer] == inner
    assert outer.rows == 3


def test_an_answer_that_takes_too_long_as_a_whole_is_given_up(tmp_path: Path) -> None:
    ticks = iter(range(0, 10_000, 40))
    slow = Reach(
        environment={},
        home=tmp_path,
        allowed_hosts=("127.0.0.1",),
        sleep=Slept(),
        now_s=lambda: float(next(ticks)),
    )
    with listing_server(one_page(ROWS)) as server:
        asked = Input(kind="api", digest="a", api=ApiSource(endpoint=server.url, timeout_s=30.0), as_of_ns=1)
        with pytest.raises(SetupError, match="no whole answer within 30 s"):
            freeze(asked, tmp_path / "inputs", epoch_ns=1, reach=slow)
