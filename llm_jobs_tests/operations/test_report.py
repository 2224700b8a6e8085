"""Pages that runs make for Dagster: small, kept once, and none where rows are not to be shown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.observability.report_rows import ERASED
from llm_jobs.operations.report import LINKED_LIMIT, linked_report
from llm_jobs.operations.sheets import sheet_of
from llm_jobs_tests.cli.house import House, job
from llm_jobs_tests.servers.replay import replay_server

MANY = [{"id": number, "text": f"text {number}"} for number in range(LINKED_LIMIT + 5)]


def test_a_run_makes_a_small_page_and_makes_it_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    [report] = house.answer(house.write("many.json", job("many", MANY)))
    with house.entry.open_services() as services:
        paths = {linked_report(services, report.job_hash) for _ in range(2)}
    [path] = paths
    assert Path(str(path)).read_text(encoding="utf-8").count('<details class="row"') == LINKED_LIMIT


@pytest.mark.parametrize("preview", ["off", "on"])
def test_no_page_is_made_where_previews_are_off(tmp_path: Path, preview: str) -> None:
    house = House(tmp_path, {"LLM_JOBS_PREVIEW": preview})
    [report] = house.answer(house.write("few.json", job("few", MANY[:2])))
    with house.entry.open_services() as services:
        path = linked_report(services, report.job_hash)
    assert (path is None) == (preview == "off")
    assert (house.home / "reports").exists() == (preview == "on")


def test_a_row_whose_bodies_were_erased_says_so(tmp_path: Path) -> None:
    house = House(tmp_path)
    [report] = house.answer(house.write("few.json", job("few", MANY[:1])))
    texts = []
    with house.entry.open_services() as services:
        texts.append(Path(str(linked_report(services, report.job_hash))).read_text(encoding="utf-8"))
        call_hash = texts[0].partition("<dt>call</dt><dd>")[2].partition("<")[0]
        services.ledger.erase(call_hashes=[call_hash], who="ada", why="asked for")
        texts.append(Path(str(linked_report(services, report.job_hash))).read_text(encoding="utf-8"))
    assert ['<p class="role">user</p>' in text for text in texts] == [True, False]
    assert [ERASED in text for text in texts] == [False, True]


def test_what_a_graph_computes_is_an_answer_and_what_its_rows_go_by_is_not(tmp_path: Path) -> None:
    house = House(tmp_path)
    rows = [{"id": 1, "kind": "a", "text": "one\n\ntwo"}, {"id": 2, "kind": "b", "text": "three"}]
    steps: list[dict[str, Any]] = [
        {"name": "parts", "task": "split_paragraphs", "inputs": {"text": "{{ text }}"}},
        {"name": "part", "split": "parts"},
        {"name": "short", "text": "Shorten: {{ part }}"},
    ]
    grouped = [
        *steps,
        {"name": "kinds", "reduce": {"by": ["kind"], "aggregate": {"n": "count"}}, "text": "Sum: {{ n }}"},
    ]
    found = {}
    for name, graph in (("split", steps), ("grouped", grouped)):
        document = {"job": {"name": name, "model": "simulated", "input": {"rows": rows}, "steps": graph}}
        [report] = house.answer(house.write(f"{name}.json", document))
        with house.entry.open_services() as services:
            sheet = sheet_of(services, services.ledger.submissions(job_hash=report.job_hash)[0])
            found[name] = (sheet.inputs, sheet.answers)
            assert linked_report(services, report.job_hash) is not None
    assert found == {"split": (("id", "kind", "text", "part"), ("short",)), "grouped": (("kind",), ("n", "kinds"))}


def test_a_page_needs_no_key_and_shows_what_was_asked_before_the_last_call(tmp_path: Path) -> None:
    prompts = [{"name": "said", "text": "Say: {{ text }}"}, {"name": "short", "text": "Shorten: {{ said }}"}]
    document = {"job": {"name": "two", "model": "openai/gpt-4.1-mini", "input": {"rows": MANY[:2]}, "prompts": prompts}}
    with replay_server() as server:
        house = House(tmp_path, {"OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "sk-test"})
        [report] = house.answer(house.write("two.json", document))
        again = House(tmp_path, {"OPENAI_BASE_URL": server.openai_url})
        with again.entry.open_services() as services:
            path = linked_report(services, report.job_hash)
        assert server.stats()["total"] == 4
    text = Path(str(path)).read_text(encoding="utf-8")
    assert text.count("<summary>asked before: said</summary>") == 2
    assert "sk-test" not in text


def test_a_page_that_cannot_be_made_is_told_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House(tmp_path)
    [report] = house.answer(house.write("few.json", job("few", MANY[:2])))
    (house.home / "reports").write_text("a file where the folder would be", encoding="utf-8")
    with house.entry.open_services() as services:
        assert linked_report(services, report.job_hash) is None
    assert f"no page was made about the result of job {report.job_hash}" in caplog.text


def test_a_result_that_no_page_can_be_made_of_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House(tmp_path)
    [report] = house.answer(house.write("few.json", job("few", MANY[:2])))
    result = Path(str(report.result))
    result.chmod(0o644)
    result.write_bytes(b"no Parquet")
    with house.entry.open_services() as services:
        assert linked_report(services, report.job_hash) is None
    assert f"the page about the result of job {report.job_hash} met a defect" in caplog.text


def test_two_at_once_keep_one_page(tmp_path: Path) -> None:
    house = House(tmp_path)
    [report] = house.answer(house.write("few.json", job("few", MANY[:2])))

    def make(_: int) -> str | None:
        with house.entry.open_services() as services:
            return linked_report(services, report.job_hash)

    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(make, range(4)))
    assert len(paths) == 1
    assert len(list((house.home / "reports" / report.job_hash).iterdir())) == 1
