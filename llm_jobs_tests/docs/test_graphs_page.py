"""The page about graphs: every document, script and command of them runs as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

from llm_jobs_tests.cli.house import REPOSITORY, House
from llm_jobs_tests.docs.pages import ROOT, blocks

GRAPHS = blocks((ROOT / "docs/graphs.md").read_text(encoding="utf-8"))


def test_the_script_of_the_page_runs_and_its_graph_is_read(tmp_path: Path) -> None:
    [script] = [block.text for block in GRAPHS if block.language == "python"]
    house = House(tmp_path)
    house.write("rivers.py", script.replace("result = graph.run()\n", ""))
    printed = house.invoke("graph", "rivers.py", "--format", "yaml")
    assert printed.exit_code == 0, printed.output
    [report] = house.answer(house.write("rivers.yaml", printed.stdout))
    assert (report.status, report.rows, report.calls_sent) == ("done", 2, 4)


def test_the_document_of_the_page_about_large_groups_is_asked_in_levels(tmp_path: Path) -> None:
    [document] = [block.text for block in GRAPHS if block.language == "yaml"]
    house = House(tmp_path)
    rows = (f"{'ab'[number % 2]},Good coffee and bad cake {number}\n" for number in range(100))
    house.write("reviews.csv", "shop,text\n" + "".join(rows))
    [report] = house.answer(house.write("report.yaml", document))
    assert (report.status, report.rows) == ("done", 2)
    assert report.calls_sent > 4


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    house = House(tmp_path, {"LLM_JOBS_ALLOWED_ROOTS": str(REPOSITORY)})
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/prompts").symlink_to(REPOSITORY / "data/prompts")
    lines = [line for block in GRAPHS if block.language == "sh" for line in block.text.splitlines()]
    results = {line: house.invoke(*shlex.split(line)[1:]) for line in lines}
    assert {line: result.output for line, result in results.items() if result.exit_code} == {}
