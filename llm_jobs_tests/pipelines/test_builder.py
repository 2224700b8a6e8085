"""Graphs that are built call by call: how steps are connected, changed, drawn, and run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import DocumentError, NotFound
from llm_jobs.operations.graph_builder import GraphBuilder
from llm_jobs.operations.graphs import graphs_of
from llm_jobs.pipelines.builder import Builder
from llm_jobs.pipelines.python_code import read_scripts
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Speaking, speaking_server

MODEL = "openai/gpt-4.1-mini"


def needs_of(graph: Builder) -> dict[str, Any]:
    return {str(step["name"]): step.get("needs") for step in graph.steps}


def test_a_step_comes_after_the_one_before_it_and_takes_the_outputs_of_its_inputs_names() -> None:
    graph = Builder().text_generation(prompt="Say a word.").text_summary().text_rewriter(prompt="Shout.")
    assert needs_of(graph) == {
        "text_generation": [],
        "text_summary": ["text_generation"],
        "text_rewriter": ["text_summary"],
    }
    assert [step["inputs"] for step in graph.steps[1:]] == [
        {"text": "{{ text_generation }}"},
        {"prompt": "Shout.", "text": "{{ text_summary }}"},
    ]


def test_parallel_graphs_come_after_what_there_is_and_before_what_follows() -> None:
    left, right = Builder().prompt("l", name="left"), Builder().prompt("r", name="right")
    graph = Builder().prompt("first", name="first").parallel(left, right).prompt("last", name="last")
    assert needs_of(graph) == {"first": [], "left": ["first"], "right": ["first"], "last": ["left", "right"]}


def test_a_renamed_output_is_taken_for_the_input_of_the_next_step() -> None:
    graph = Builder().text_generation(prompt="x").rename("text", "message").debug_log()
    assert graph.steps[1]["inputs"] == {"message": "{{ text_generation }}"}
    with pytest.raises(DocumentError, match="no output 'txt'"):
        Builder().text_generation(prompt="x").rename("txt", "message")
    with pytest.raises(DocumentError, match="no input 'massage'"):
        Builder().text_generation(prompt="x").rename("text", "massage").debug_log()


def test_steps_are_removed_replaced_popped_and_reset_and_each_change_is_told() -> None:
    told: list[int] = []
    graph = Builder().on("change", lambda changed: told.append(len(changed.steps)))
    graph.prompt("a", name="a").prompt("b", name="b").prompt("c", name="c").remove("b")
    assert needs_of(graph) == {"a": [], "c": ["a"]}
    assert graph.replace("c", text="d", temperature=0).steps[1]["text"] == "d"
    assert needs_of(graph.pop().prompt("e", name="e")) == {"a": [], "e": ["a"]}
    assert graph.reset().steps == []
    assert told == [1, 2, 3, 2, 2, 1, 2, 0]
    with pytest.raises(NotFound, match="did you mean 'aa'"):
        Builder().prompt("a", name="aa").remove("a")


def test_a_second_step_of_a_name_gets_a_number_and_an_unknown_task_is_no_method() -> None:
    assert Builder().prompt("a").prompt("b").names() == ["answer", "answer_2"]
    with pytest.raises(AttributeError, match="text_summary"):
        Builder().text_sumary()
    assert "text_summary" in dir(Builder())


def test_needs_reach_no_further_back_than_the_table_of_the_step() -> None:
    graph = Builder().split_paragraphs(text="{{ text }}", name="parts").split("parts", name="part")
    assert needs_of(graph.prompt("{{ part }}", name="said")) == {"parts": [], "part": None, "said": []}


def test_what_a_script_does_when_it_is_started_is_not_done_and_one_that_fails_is_told(tmp_path: Path) -> None:
    path = tmp_path / "graph.py"
    path.write_text(Builder(name="g").prompt("Say {{ x }}").to_python() + "    raise SystemExit(3)\n")
    assert Builder.from_python(path).names() == ["answer"]
    path.write_text("raise ValueError('no')\n")
    with pytest.raises(DocumentError, match="ValueError: no"):
        read_scripts([path])
    path.write_text("x = 1\n")
    with pytest.raises(DocumentError, match="names no `graph`"):
        read_scripts([path])


def test_a_flowchart_shows_steps_within_steps_conditions_and_tables() -> None:
    inner = Builder().prompt("x", name="one").prompt("y", name="two")
    graph = Builder().filter('a == "b"', name="kept").compound(inner, name="both", when="n > 1").split("l", name="item")
    assert graph.to_mermaid().splitlines() == [
        "flowchart TD",
        '  s0{"kept: a == #quot;b#quot;"}',
        '  subgraph s1["both"]',
        '    s2("one")',
        '    s3("two")',
        "    s2 --> s3",
        "  end",
        '  s4{{"item"}}',
        '  s0 -->|"n #gt; 1"| s1',
        "  s1 --> s4",
    ]


def test_a_flowchart_has_no_arrow_between_alternatives_and_one_from_them_to_the_next_step() -> None:
    either = Builder().prompt("x", name="one").prompt("y", name="two")
    arrows = [
        line.strip() for line in Builder().first_of(either, name="a").prompt("z", name="b").to_mermaid().split("\n")
    ]
    assert [line for line in arrows if "-->" in line] == ["s0 --> s3"]


@pytest.fixture
def speaking() -> Iterator[Speaking]:
    with speaking_server(lambda body: f"[{asked(body)}]") as server:
        yield server


def diamond(left: str) -> GraphBuilder:
    graph = GraphBuilder(name="diamond", model=MODEL)
    sides = [GraphBuilder().prompt(text, name=name) for name, text in (("left", left), ("right", "right {{ top }}"))]
    return graph.prompt("top", name="top").parallel(*sides).prompt("{{ left }} and {{ right }}", name="end")


def test_one_changed_input_of_a_diamond_asks_only_what_depends_on_it(
    tmp_path: Path, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in speaking.environment.items():
        monkeypatch.setenv(name, value)
    told: list[object] = []
    first = diamond("left {{ top }}").on("complete", told.append).run(home=tmp_path)
    again = diamond("left {{ top }}").run(home=tmp_path)
    changed = diamond("other {{ top }}").run(home=tmp_path)
    assert [each.calls_sent for each in (first, again, changed)] == [4, 0, 2]
    assert told == [first]
    assert first.job_hash == again.job_hash != changed.job_hash
    assert changed.to_arrow().column("end").to_pylist() == ["[[other [top]] and [right [top]]]"]


def test_a_graph_is_printed_in_every_form(tmp_path: Path) -> None:
    house = House(tmp_path)
    graph = (
        Builder(name="g", model="simulated", input={"rows": [{"x": 1}]}).prompt("Say {{ x }}").text_summary(text="t")
    )
    house.write("g.yaml", graph.to_yaml())
    hashes = set()
    for form, name in (("yaml", "a.yaml"), ("json", "b.json"), ("python", "c.py")):
        printed = house.invoke("graph", "g.yaml", "--format", form)
        assert printed.exit_code == 0, printed.output
        house.write(name, printed.stdout)
    house.write("d.yaml", house.invoke("graph", "c.py", "--format", "yaml").stdout)
    for name in ("g.yaml", "a.yaml", "b.json", "d.yaml"):
        hashes |= {job.hash for job in house.accept(tmp_path / name)}
    assert len(hashes) == 1
    assert house.invoke("graph", "g.yaml").stdout.startswith("flowchart TD\n")
    assert '"dependencies"' in house.invoke("graph", "g.yaml", "--format", "dependencies").stdout
    line = json.loads(house.invoke("graph", "g.yaml", "--format", "json", "--json").stdout)
    assert (line["name"], [task["id"] for task in line["graph"]["tasks"]]) == ("g", ["answer", "text_summary"])
    with house.entry.open_services() as services:
        assert [each.names() for each in graphs_of(services, "g.yaml")] == [["answer", "text_summary"]]
