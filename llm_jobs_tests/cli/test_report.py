"""`llm-jobs report`: a page in the home folder or in a file of the user's, written once."""

from __future__ import annotations

import os
import re
from pathlib import Path

from llm_jobs_tests.cli.house import ROWS, House, facts, job


def made(house: House, *arguments: str) -> tuple[Path, dict[str, object]]:
    result = house.invoke("report", *arguments, "--json")
    assert result.exit_code == 0, result.output
    [told] = facts(result.stdout)
    return Path(str(told["report"])), told


def answered(house: House) -> None:
    [report] = house.answer(house.write("reviews.json", job("reviews", ROWS)))
    assert report.status == "done"


def test_a_page_has_figures_prompts_rows_and_answers(house: House) -> None:
    answered(house)
    path, told = made(house, "reviews")
    text = path.read_text(encoding="utf-8")
    assert (told["rows"], told["shown"]) == (3, 3)
    assert text.count('<details class="row"') == 3
    for piece in ("Say: so so", "<h4>said</h4>", "simulated (3 rows)", "<h1", str(told["job_hash"]), "<svg"):
        assert piece in text


def test_it_is_kept_in_the_home_folder_once_and_is_never_changed(house: House) -> None:
    answered(house)
    first, _ = made(house, "reviews")
    again, _ = made(house, "reviews")
    assert first == again
    assert re.fullmatch(r"\d+\.html", first.name)
    assert first.parent.parent == house.home / "reports"
    assert first.stat().st_mode & 0o777 == 0o444
    smaller, _ = made(house, "reviews", "--limit", "1")
    assert smaller.name.startswith(f"{first.stem}-")
    assert made(house, "reviews", "--limit", "1")[0] == smaller
    assert sorted(os.listdir(first.parent)) == sorted([first.name, smaller.name])


def test_a_file_of_the_users_is_not_overwritten(house: House) -> None:
    answered(house)
    assert house.invoke("report", "reviews", "--out", "page.html").exit_code == 0
    before = (house.folder / "page.html").read_bytes()
    again = house.invoke("report", "reviews", "--out", "page.html")
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert (house.folder / "page.html").read_bytes() == before


def test_failures_come_first_and_the_limit_is_for_each_status(house: House) -> None:
    rows = [{"id": number, "text": "x" if number % 5 else None} for number in range(40)]
    document = job("mixed", rows, text="Say: {{ text.upper() }}")
    house.answer(house.write("mixed.json", document))
    path, told = made(house, "mixed", "--limit", "3")
    text = path.read_text(encoding="utf-8")
    assert (told["rows"], told["shown"]) == (40, 6)
    groups = re.findall(r'data-group="(\w+)"', text)
    assert groups[:3] == ["invalid_input"] * 3
    assert groups[3:] == ["succeeded"] * 3
    assert "34 rows are not shown" in text


def test_two_jobs_are_shown_side_by_side_what_differs_first(house: House) -> None:
    answered(house)
    house.answer(house.write("other.json", job("other", ROWS[:2], text="Tell: {{ text }}")))
    path, told = made(house, "reviews", "--against", "other", "--on", "id")
    text = path.read_text(encoding="utf-8")
    assert told["rows"] == 3
    assert re.findall(r'data-group="([\w ]+)"', text) == ["differs", "differs", "only in reviews"]
    assert "Rows match by id." in text
    assert "completion tokens per row" in text
    assert text.count("<del>") > 0


def test_each_step_of_a_job_has_its_answer(house: House) -> None:
    document = job("steps", ROWS)
    document["job"]["prompts"].append({"name": "short", "text": "Shorten: {{ said }}"})
    house.answer(house.write("steps.json", document))
    text = made(house, "steps")[0].read_text(encoding="utf-8")
    assert "<h4>said</h4>" in text
    assert "<h4>short</h4>" in text
    assert "Shorten: " in text
    assert text.count("<summary>asked before: said</summary>") == 3


def test_a_page_without_a_result_and_a_column_without_a_second_job_are_refused(house: House) -> None:
    house.accept(house.write("unrun.json", job("unrun", ROWS)))
    for arguments, said in (
        (["unrun"], "has no result yet; run it: llm-jobs run"),
        (["unrun", "--on", "id"], "add --against"),
        (["nobody"], "no job with hash or name"),
        (["unrun", "--limit", "0"], "0 is not in the range"),
    ):
        result = house.invoke("report", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr


def test_what_an_answer_holds_does_not_leave_its_place(house: House) -> None:
    rows = [{"id": 1, "text": "</script><img src=x onerror=alert(1)> \u202e ![b](http://127.0.0.1:9/b.png)"}]
    hashes = []
    for number, text in enumerate(("Say: {{ text }}", "Tell: {{ text }}")):
        name = f"{number}</title></text></svg><script>alert(1)</script>\u202e"
        hashes += [each.job_hash for each in house.answer(house.write("hostile.json", job(name, rows, text=text)))]
    for arguments in ([hashes[0]], [hashes[0], "--against", hashes[1]]):
        page = made(house, *arguments)[0].read_text(encoding="utf-8")
        assert page.count("<script") == 1
        assert re.findall(r"<img|\u202e", page) == []
        assert "\\u202e" in page
