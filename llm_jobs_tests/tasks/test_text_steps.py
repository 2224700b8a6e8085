"""Ready steps over rows: prompts under names of their own, and small computations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from llm_jobs.errors import DocumentError, NotFound
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.servers.speaking import Speaking
from llm_jobs_tests.tasks.conftest import Answer


def step(task: str, name: str = "out", **inputs: Any) -> dict[str, Any]:
    return {"name": name, "task": task, "inputs": inputs}


@pytest.mark.parametrize(
    ("task", "inputs", "row", "asked"),
    [
        ("GenerateText", {"prompt": "Say {{ a }}"}, {"a": "one"}, ["Say one"]),
        ("text_generation", {}, {"prompt": "Say two"}, ["Say two"]),
        (
            "TextQuestionAnswerTask",
            {"context": "the {{ a }}"},
            {"a": "mat", "question": "Where?"},
            [
                "Answer the question",
                "<context>\nthe mat\n</context>",
                "<question>\nWhere?\n</question>",
            ],
        ),
        ("TextRewriter", {"prompt": "Be kind."}, {"text": "Go."}, ["<instruction>\nBe kind.", "<text>\nGo.\n</text>"]),
        ("TextSummaryTask", {}, {"text": "Long."}, ["Summarise", "<text>\nLong.\n</text>"]),
        (
            "text-translation",
            {"target": "German"},
            {"text": "Hello", "source": "x"},
            ["from the language that it is written in to German", "<text>\nHello\n</text>"],
        ),
        (
            "TextTranslation",
            {"source": "{{ source }}"},
            {"text": "Hello", "source": "English", "target": "Greek"},
            ["from English to Greek"],
        ),
    ],
)
def test_a_task_that_is_a_prompt_asks_the_jobs_model_with_its_inputs(
    speaking: Speaking, answer: Answer, task: str, inputs: Mapping[str, Any], row: Mapping[str, Any], asked: list[str]
) -> None:
    report, [answered] = answer([step(task, **inputs)], [row])
    [body] = speaking.bodies
    said = "\n".join(message["content"] for message in body["messages"])
    assert [part for part in asked if part not in said] == []
    assert body["model"] == "gpt-4.1-mini"
    assert answered["out"].startswith("[")
    assert report.calls_sent == 1


def test_a_task_has_a_model_and_parameters_of_its_own(speaking: Speaking, answer: Answer) -> None:
    answer([step("text_summary", model="openai/gpt-4.1", temperature=0.2, max_tokens=50)], [{"text": "Long."}])
    [body] = speaking.bodies
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt-4.1", 0.2, 50)


def test_an_embedding_is_a_column_of_vectors(answer: Answer) -> None:
    _, rows = answer([step("TextEmedding", model="simulated")], [{"text": "a"}, {"text": "b"}])
    assert [len(row["out"]) for row in rows] == [64, 64]
    assert rows[0]["out"] != rows[1]["out"]


def test_the_flow_of_the_reference_runs_from_documents_to_vectors(house: House, answer: Answer) -> None:
    (house.home / "texts").mkdir()
    (house.home / "texts" / "a.md").write_text("First.\n\nSecond.")
    steps = [
        step("LoadDocument", "document", path="texts/{{ name }}"),
        step("SplitParagraphs", "paragraphs", text="{{ document }}"),
        {"name": "text", "split": "paragraphs"},
        {"name": "short", "task": "TextRewriter", "inputs": {"prompt": "Shorten."}},
        step("TextEmbedding", "vector", text="{{ short }}", model="simulated"),
    ]
    report, rows = answer(steps, [{"name": "a.md"}])
    assert (report.rows, report.calls_sent) == (2, 4)
    assert [row["text"] for row in rows] == ["First.", "Second."]
    assert all(len(row["vector"]) == 64 for row in rows)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("n * 2", "integer", [2, 4]),
        ("{{ n / 2 }}", "number", [0.5, 1.0]),
        ("n > 1", "boolean", [False, True]),
        ("text | upper", "string", ["A", "B"]),
        ("text ~ n", "any", ["a1", "b2"]),
        ("[text] | map('upper')", "any", ['["A"]', '["B"]']),
        ("range(n)", "any", ["[0]", "[0,1]"]),
        ("[n, n + 1]", "any", ["[1,2]", "[2,3]"]),
        (7, "integer", [7, 7]),
    ],
)
def test_an_expression_is_a_column_of_the_type_that_it_says(
    answer: Answer, value: object, kind: str, expected: list[object]
) -> None:
    _, rows = answer([step("expression", value=value, type=kind)], [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}])
    assert [row["out"] for row in rows] == expected


def test_a_later_step_reads_what_an_expression_came_to(answer: Answer) -> None:
    steps = [step("expression", "twice", value="n * 2", type="integer"), {"name": "large", "filter": "twice > 2"}]
    _, rows = answer(steps, [{"n": 1}, {"n": 2}])
    assert [row["twice"] for row in rows] == [4]


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        ("text", "integer", "declared is integer"),
        ("n / 0", "number", "ZeroDivisionError"),
        ("text.upper", "any", "comes to a builtin_function_or_method"),
        ("[text.upper]", "any", "not JSON serializable"),
    ],
)
def test_a_row_that_does_not_fit_an_expression_fails_alone(answer: Answer, value: str, kind: str, reason: str) -> None:
    _, [row] = answer([step("expression", value=value, type=kind)], [{"n": 1, "text": "a"}])
    assert row["llm_status"] == "invalid_input"
    assert reason in row["llm_error"]


def test_markdown_becomes_columns_and_values_for_later_steps(answer: Answer) -> None:
    text = '# Top\n\nsome *words*\n\n```json\n{"score": 3}\n```\n'
    steps = [
        step("markdown_parse", "parsed", text="{{ said }}"),
        step("expression", "score", value="parsed.json.score", type="integer"),
    ]
    _, [row] = answer(steps, [{"said": text}])
    assert row["parsed.headings"] == [{"level": 1, "text": "Top"}]
    assert row["parsed.code_blocks"] == [{"language": "json", "text": '{"score": 3}\n'}]
    assert (row["parsed.json"], row["parsed.text"], row["score"]) == ('{"score":3}', "Top\n\nsome words", 3)


def test_a_message_is_logged_and_passed_on(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "llm_jobs.tasks"):
        steps = [step("DebugLog", message="row {{ n }}", level="warn")]
        _, rows = answer(steps, [{"n": 1}, {"n": 2}])
    logged = [(each.levelname, each.message) for each in caplog.records if each.name.endswith("debug_log")]
    assert logged == [("WARNING", "row 1"), ("WARNING", "row 2")]
    assert [row["out"] for row in rows] == ["row 1", "row 2"]


def test_planning_logs_nothing_and_tells_the_calls(house: House, caplog: pytest.LogCaptureFixture) -> None:
    steps = [step("debug_log", "seen", message="{{ text }}"), step("text_summary")]
    job = {"name": "p", "model": "simulated", "input": {"rows": [{"text": "a"}]}, "steps": steps}
    with caplog.at_level(logging.DEBUG, "llm_jobs.tasks"):
        planned = house.invoke("plan", str(house.write("p.json", {"job": job})))
    assert planned.exit_code == 0, planned.output
    assert [each for each in caplog.records if each.name.endswith("debug_log")] == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (step("text_summary", txt="a"), "has no input 'txt' (key job.steps[0].inputs.txt); its inputs: text, model"),
        (step("text_summary"), "column that the table does not have"),
        (step("debug_log", message="a", level="loud"), "level"),
        (step("split_paragraphs", text="a", overlap=5), "larger than overlap"),
        (step("split_paragraphs", text="a", max_chars=0), "max_chars"),
        (step("expression", value="n +"), "end of print statement"),
        (step("expression", value="m"), "column that the table does not have"),
        (step("expression", value="n", type="text"), "type"),
        (step("text_summry"), "did you mean text_summary?"),
    ],
)
def test_mistakes_are_told_before_anything_is_spent(
    answer: Answer, speaking: Speaking, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises((DocumentError, NotFound)) as refused:
        answer([given], [{"n": 1}])
    assert reason in str(refused.value)
    assert speaking.bodies == []


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "none.txt", "a\0b", "latin.txt"])
def test_documents_are_read_from_the_allowed_folders_alone(house: House, answer: Answer, name: str) -> None:
    (house.home.parent.parent / "outside.txt").write_text("secret")
    (house.home / "latin.txt").write_bytes(b"\xff\xfe\xfa")
    _, [row] = answer([step("load_document")], [{"path": name}])
    assert row["llm_status"] == "invalid_input"
    assert "load_document" in row["llm_error"]
