"""Pages that runs make for Dagster: small, kept once, and none where rows are not to be shown."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.observability.report_rows import ERASED
from llm_jobs.operations.erase import erase
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


SHORT: dict[str, Any] = {"name": "short", "text": "Shorten: {{ part }}"}
LONG: dict[str, Any] = {"name": "long", "text": "Lengthen: {{ short }}", "needs": ["short"]}
MOOD: dict[str, Any] = {"name": "mood", "text": "Mood of: {{ part }}", "needs": []}
PARTS: dict[str, Any] = {"name": "parts", "task": "split_paragraphs", "inputs": {"text": "{{ text }}"}}
TITLE: dict[str, Any] = {"name": "title", "text": "Title of: {{ text }}", "needs": []}
CHAIN: list[dict[str, Any]] = [
    {"name": "first", "text": "1 {{ text }}"},
    {"name": "then", "text": "2 {{ first }}", "needs": ["first"]},
]
PART: dict[str, Any] = {"name": "part", "split": "parts"}


def page_of(house: House, steps: list[dict[str, Any]], **members: Any) -> tuple[str, Path]:
    """The job of a graph, run, and its page."""
    rows = [{"id": 1, "kind": "a", "text": "one\n\ntwo"}, {"id": 2, "kind": "b", "text": "three"}]
    document = {"name": "graph", "model": "simulated", "input": {"rows": rows}, "steps": steps, **members}
    [report] = house.answer(house.write("graph.json", {"job": document}))
    assert report.status == "done"
    with house.entry.open_services() as services:
        return report.job_hash, Path(str(linked_report(services, report.job_hash)))


def asked_before(page: Path) -> list[str]:
    found = re.findall("<summary>asked before: ([^<]+)</summary>", page.read_text(encoding="utf-8"))
    return list(found)


def test_each_prompt_of_a_graphs_row_is_shown_with_its_question(tmp_path: Path) -> None:
    _, page = page_of(House(tmp_path), [TITLE, PARTS, PART, SHORT, MOOD, LONG], sample=1)
    assert asked_before(page) == ["title", "short", "mood"] * 3
    text = page.read_text(encoding="utf-8")
    for word in ("one", "two", "three"):
        assert f"Shorten: {word}" in text
        assert f"Mood of: {word}" in text


def test_the_prompts_before_a_group_are_those_of_other_rows(tmp_path: Path) -> None:
    group = {"name": "kinds", "reduce": {"by": ["kind"], "aggregate": {"n": "count"}}, "text": "Sum: {{ n }}"}
    steps = [PARTS, PART, SHORT, group, {"name": "last", "text": "End: {{ kinds }}"}]
    _, page = page_of(House(tmp_path), steps)
    assert asked_before(page) == ["kinds"] * 2


def test_each_sample_of_a_graphs_row_shows_its_own_calls(tmp_path: Path) -> None:
    _, page = page_of(House(tmp_path), CHAIN, sample=2)
    assert asked_before(page) == ["first"] * 4


@pytest.mark.parametrize("which", ["first", "last"])
def test_an_erasure_removes_the_pages_that_show_what_was_said(tmp_path: Path, which: str) -> None:
    house = House(tmp_path)
    _, page = page_of(house, CHAIN)
    [other] = house.answer(house.write("few.json", job("few", MANY[:1])))
    calls = re.findall('data-calls="([^"]+)"', page.read_text(encoding="utf-8"))[0].split()
    assert len(calls) == 2
    with house.entry.open_services() as services:
        kept = Path(str(linked_report(services, other.job_hash)))
        erased = erase(services, call_hashes=[calls[0 if which == "first" else 1]], who="ada", why="asked for")
    assert (erased.bodies, erased.pages) == (1, (page,))
    assert (page.exists(), kept.exists()) == (False, True)


def test_an_erased_document_takes_the_pages_of_its_job_with_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    job_hash, page = page_of(house, [SHORT | {"text": "Shorten: {{ text }}"}])
    with house.entry.open_services() as services:
        assert erase(services, job_hashes=[job_hash], who="ada", why="asked for").pages == (page,)
    assert not page.exists()
