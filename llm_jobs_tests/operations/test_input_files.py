"""Files, patterns and APIs as a job's table, and what becomes of rows that cannot be read, from document to result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import s3fs

from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.events import Event, InputRowsUnreadable
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.plan import plan_named
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.tables import frozen
from llm_jobs_tests.cli.house import House, job
from llm_jobs_tests.servers.listing import ListingServer, Told, listing_server
from llm_jobs_tests.servers.s3 import s3_server
from llm_jobs_tests.sources.databases import sqlite_file

LISTED = [{"id": number, "text": text} for number, text in enumerate(("good", "bad", "so so"), 1)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def server() -> Iterator[ListingServer]:
    def script(asked: Any, before: int) -> Told:
        if asked.headers.get("authorization") != "Bearer tok-hunter22-secret":
            return Told(status=401)
        start = int(asked.params.get("after", 0))
        return Told(value={"reviews": LISTED[start : start + 2], "next": start + 2 if start + 2 < 3 else None})

    with listing_server(script) as listing:
        yield listing


def document(source: dict[str, Any], **members: Any) -> dict[str, Any]:
    stated = job("reviews", [], **members)
    stated["job"]["input"] = source
    return stated


def answered(house: House, source: dict[str, Any], **members: Any) -> JobReport:
    [report] = house.answer(house.write("reviews.yaml", document(source, **members)))
    return report


def rows_of(report: JobReport) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(report.result).to_pylist()
    return rows


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_pattern_beside_the_document_is_all_files_that_it_fits(house: House) -> None:
    (house.folder / "in" / "deep").mkdir(parents=True)
    house.write("in/b.jsonl", lines(LISTED[1]))
    house.write("in/a.jsonl", lines(LISTED[0]))
    house.write("in/deep/c.jsonl", lines(LISTED[2]))
    house.write("in/.hidden.jsonl", "no rows at all")
    assert [row["id"] for row in rows_of(answered(house, {"path": "in/*.jsonl"}))] == [1, 2]
    assert [row["id"] for row in rows_of(answered(house, {"path": "in/**/*.jsonl"}))] == [1, 2, 3]


def test_a_new_file_makes_another_job_that_asks_only_about_its_rows(house: House) -> None:
    house.write("a.jsonl", lines(*LISTED[:2]))
    house.write("b.jsonl", lines(LISTED[2]))
    first = answered(house, {"path": "*.jsonl"})
    house.write("c.jsonl", lines({"id": 4, "text": "new"}))
    second = answered(house, {"path": "*.jsonl"})
    assert (second.job_hash != first.job_hash, second.rows, second.calls_sent) == (True, 4, 1)


def test_a_pattern_that_fits_nothing_says_where_it_looked(house: House) -> None:
    with pytest.raises(DocumentError, match=r"no file fits the pattern.*looked for it at"):
        house.accept(house.write("reviews.yaml", document({"path": "none/*.csv"})))


def test_a_pattern_reaches_no_file_outside_the_allowed_folders(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "a.jsonl").write_text(lines(LISTED[0]), encoding="utf-8")
    for path in (f"{elsewhere}/*.jsonl", f"file://{elsewhere}/a.jsonl", f"../{elsewhere.name}/*.jsonl"):
        with pytest.raises(DocumentError, match=r"outside the allowed folders|no file fits"):
            house.accept(house.write("reviews.yaml", document({"path": path})))
    (house.folder / "link.jsonl").symlink_to(elsewhere / "a.jsonl")
    with pytest.raises(DocumentError, match="outside the allowed folders"):
        house.accept(house.write("reviews.yaml", document({"path": "*.jsonl"})))
    house.variables["LLM_JOBS_ALLOWED_ROOTS"] = str(elsewhere)
    assert house.accept(house.write("reviews.yaml", document({"path": f"{elsewhere}/*.jsonl"})))


URLS = [
    ("s3://shop/reviews.jsonl", SetupError, "s3://shop may not be reached"),
    ("https://shop.example/reviews.jsonl", SetupError, "LLM_JOBS_ALLOWED_HOSTS"),
    ("filecache::s3://shop/reviews.jsonl", DocumentError, "chained"),
    ("https://a:b@shop.example/reviews.jsonl", DocumentError, "credentials"),
]


@pytest.mark.parametrize(("url", "kind", "what"), URLS)
def test_a_url_is_read_from_listed_hosts_and_buckets_only(
    house: House, url: str, kind: type[Exception], what: str
) -> None:
    with pytest.raises(kind, match=what) as caught:
        house.accept(house.write("reviews.yaml", document({"path": url})))
    assert "a:b" not in str(caught.value).replace(url, "") or kind is DocumentError


def test_objects_in_a_listed_bucket_are_a_table_from_end_to_end(house: House) -> None:
    with s3_server() as store:
        bucket = store.create_bucket("shop")
        client = s3fs.S3FileSystem(endpoint_url=store.url, key="tester", secret="not-a-secret")
        for name, row in (("b", LISTED[1]), ("a", LISTED[0])):
            client.pipe_file(f"shop/in/{name}.jsonl", lines(row).encode())
        house.variables.update(store.environment, LLM_JOBS_ALLOWED_HOSTS=bucket)
        house.write("reviews.yaml", document({"path": f"{bucket}/in/*.jsonl"}))
        done = house.process("run", "reviews.yaml", "--json")
    [facts] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (facts["status"], facts["rows"]) == ("done", 2), done.stderr


def test_an_input_given_beside_the_document_replaces_any_source(house: House, server: ListingServer) -> None:
    house.write("mine.tsv", "id\ttext\n7\tmine\n")
    path = house.write("reviews.yaml", document({"endpoint": "https://unlisted.example/reviews"}))
    [report] = house.answer(path, Overrides(input="mine.tsv"))
    assert [(row["id"], row["text"]) for row in rows_of(report)] == [("7", "mine")]


def api(server: ListingServer, **members: Any) -> dict[str, Any]:
    return {
        "source": "api",
        "endpoint": f"{server.url}/reviews",
        "auth": "bearer_token",
        "rows": "/reviews",
        "paging": {"next": "/next", "parameter": "after"},
        **members,
    }


def test_an_api_is_a_table_from_end_to_end_and_its_token_is_kept_nowhere(house: House, server: ListingServer) -> None:
    house.variables.update(LLM_JOBS_API_TOKEN="tok-hunter22-secret", LLM_JOBS_ALLOWED_HOSTS=server.host)
    report = answered(house, api(server))
    assert [(row["id"], row["text"]) for row in rows_of(report)] == [(1, "good"), (2, "bad"), (3, "so so")]
    for kept in house.folder.rglob("*"):
        assert not kept.is_file() or b"hunter22" not in kept.read_bytes(), kept
    asked = len(server.asked)
    with house.entry.open_services() as services:
        [plan] = plan_named(services, report.job_hash)
    assert plan.table is None
    assert len(server.asked) == asked


def test_an_api_is_refused_before_anything_is_recorded_where_its_host_is_not_listed(
    house: House, server: ListingServer
) -> None:
    with pytest.raises(SetupError, match="LLM_JOBS_ALLOWED_HOSTS"):
        house.accept(house.write("reviews.yaml", document(api(server))))
    assert server.asked == []


def test_the_key_of_a_model_is_no_token_of_an_api(house: House, server: ListingServer) -> None:
    house.variables["LLM_JOBS_ALLOWED_HOSTS"] = server.host
    for stated in ({"auth": {"bearer": "OPENAI_API_KEY"}}, {"headers": {"X-Key": "${ANTHROPIC_API_KEY}"}}):
        with pytest.raises(DocumentError, match="is the key of a model"):
            house.accept(house.write("reviews.yaml", document(api(server, **stated))))


BROKEN = '{"id": 1, "text": "good"}\n{"id": 2,\n{"id": 3, "text": "so so"}\n'


def on_error(**stated: Any) -> dict[str, Any]:
    return {"error_handling": {"on_input_error": stated}}


def test_a_table_with_a_broken_row_is_refused_where_the_document_says_nothing(house: House) -> None:
    house.write("rows.jsonl", BROKEN)
    report = answered(house, {"path": "rows.jsonl"})
    assert (report.status, report.calls_sent) == ("failed", 0)
    assert "rows.jsonl:2: broken JSON" in (report.error or "")


@pytest.mark.parametrize("strategy", ["skip", "alert"])
def test_a_broken_row_that_is_skipped_is_a_row_of_the_result_with_its_reason(house: House, strategy: str) -> None:
    house.write("rows.jsonl", BROKEN)
    report = answered(house, {"path": "rows.jsonl"}, **on_error(strategy=strategy))
    assert (report.status, report.rows, report.failed, report.calls_sent) == ("partial", 3, 1, 2)
    first, bad, last = rows_of(report)
    assert (bad["id"], bad["llm_status"]) == (None, "invalid_input")
    assert "rows.jsonl:2: broken JSON" in bad["llm_error"]
    assert (first["llm_status"], last["llm_status"]) == ("succeeded", "succeeded")
    assert "llm_input_error" not in first


def test_a_job_that_fails_at_a_bad_row_has_no_result(house: House) -> None:
    house.write("rows.jsonl", BROKEN)
    report = answered(house, {"path": "rows.jsonl"}, **on_error(strategy="fail"))
    assert (report.status, report.result, report.calls_sent) == ("failed", None, 0)


def test_a_table_that_was_read_while_bad_rows_were_skipped_is_refused_when_they_are_not(house: House) -> None:
    house.write("rows.jsonl", BROKEN)
    skipped = answered(house, {"path": "rows.jsonl"}, **on_error(strategy="skip"))
    strict = answered(house, {"path": "rows.jsonl"})
    assert strict.job_hash == skipped.job_hash
    assert (strict.status, strict.result) == ("failed", None)
    assert "rows.jsonl:2: broken JSON" in (strict.error or "")


def test_a_row_that_cannot_be_read_passes_through_a_graph_unasked(house: House) -> None:
    house.write("rows.jsonl", BROKEN)
    steps = [
        {"name": "kept", "filter": "id > 0"},
        {"name": "said", "text": "Say: {{ text }}"},
        {"name": "then", "text": "And {{ said }}"},
    ]
    stated = document({"path": "rows.jsonl"}, **on_error(strategy="skip"))
    del stated["job"]["prompts"]
    stated["job"]["steps"] = steps
    [report] = house.answer(house.write("reviews.yaml", stated))
    assert (report.status, report.rows, report.calls_sent) == ("partial", 3, 4)
    assert [row["llm_status"] for row in rows_of(report)] == ["succeeded", "invalid_input", "succeeded"]


def test_a_plan_counts_rows_that_cannot_be_read_as_such(house: House) -> None:
    house.write("rows.jsonl", BROKEN)
    house.write("reviews.yaml", document({"path": "rows.jsonl"}, **on_error(strategy="skip")))
    with house.entry.open_services() as services:
        [plan] = plan_named(services, "reviews.yaml")
    assert (plan.rows.unaskable, plan.calls.new) == (1, 2)


ALERTS = [({"strategy": "alert"}, True), ({"strategy": "skip", "alert": True}, True), ({"strategy": "skip"}, False)]


@pytest.mark.parametrize(("stated", "alert"), ALERTS)
def test_listeners_are_told_how_many_rows_could_not_be_read_and_whether_somebody_wants_to_know(
    house: House, stated: dict[str, Any], alert: bool
) -> None:
    house.write("rows.jsonl", BROKEN)
    [accepted] = house.accept(house.write("reviews.yaml", document({"path": "rows.jsonl"}, **on_error(**stated))))
    told: list[Event] = []
    with house.entry.open_services() as services:
        list(run_jobs(services, [accepted.hash], listener=told.append))
    [event] = [each for each in told if isinstance(each, InputRowsUnreadable)]
    assert (event.rows, event.alert) == (1, alert)
    assert "broken JSON" in event.first


def test_the_log_says_how_many_rows_were_skipped_unless_it_is_told_not_to(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.write("rows.jsonl", BROKEN)
    answered(house, {"path": "rows.jsonl"}, **on_error(strategy="skip", log=False))
    assert not [each for each in caplog.messages if "could not be read" in each]
    house.write("rows.jsonl", BROKEN + "\n")
    answered(house, {"path": "rows.jsonl"}, **on_error(strategy="skip"))
    assert [each for each in caplog.messages if each.startswith("job reviews: rows that could not be read: 1")]


def retried(house: House, *, strategy: str, comes_back_after: int) -> tuple[int, list[float]]:
    """Rows read of a database that is gone at first, and the waits between the tries."""
    path, waits = house.folder / "shop.db", list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == comes_back_after:
            sqlite_file(house.folder, "CREATE TABLE t(text)", [("good",)])

    house.variables["LLM_JOBS_CONNECTION_SHOP"] = f"sqlite:///{path}"
    source = {"connection": "shop", "query": "SELECT text FROM t"}
    [asked] = house.accept(house.write("reviews.yaml", document(source, **on_error(strategy=strategy))))
    with house.entry.open_services() as services:
        reach = replace(services.reach, sleep=sleep)
        read = frozen(services, asked, asked.input, house.folder / "inputs", epoch_ns=1, reach=reach)
    return read.rows, waits


def test_a_server_that_is_away_is_asked_again_where_the_document_says_retry(house: House) -> None:
    assert retried(house, strategy="retry", comes_back_after=2) == (1, [1.0, 2.0])


@pytest.mark.parametrize(("strategy", "comes_back_after"), [("retry", 9), ("skip", 1), ("fail", 1)])
def test_a_server_that_stays_away_ends_the_reading(house: House, strategy: str, comes_back_after: int) -> None:
    with pytest.raises(SetupError, match="connection shop cannot be used"):
        retried(house, strategy=strategy, comes_back_after=comes_back_after)
