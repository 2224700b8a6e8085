"""Users' code as steps: Python functions and JavaScript, run row by row in processes that stay up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import DocumentError
from llm_jobs_tests.cli.house import House, facts
from llm_jobs_tests.tasks.conftest import Answer

SCRIPT = """
import os, sys

STARTED = []

def grade(answer, expected, strict=True, limit=10):
    print("what a script prints is no answer")
    return {"correct": answer == expected, "length": min(len(answer), limit)}

def same_process(n):
    STARTED.append(n)
    return len(STARTED)

def fails(n):
    if n == 2:
        raise ValueError("two is too much")
    return n

def dies(n):
    if n == 2:
        os._exit(7)
    return n

def hangs(n):
    while n == 2:
        pass
    return n

def leaves(n):
    sys.exit("gone")

def no_json(n):
    return {1, 2}

def hungry(n):
    return len("x" * 10**12)

def secret(n):
    return sorted(name for name in os.environ if "KEY" in name)

def counted(n):
    with open("count", "a") as file:
        file.write("x")
    return n * 2
"""
ROWS = [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.fixture(autouse=True)
def script(house: House) -> Path:
    path = house.home / "scripts" / "grade.py"
    path.write_text(SCRIPT)
    return path


def step(function: str, **inputs: Any) -> dict[str, Any]:
    return {"name": "out", "task": "lambda", "inputs": {"script": "grade.py", "function": function, **inputs}}


def test_parameters_are_columns_of_their_name_or_what_the_step_writes(answer: Answer) -> None:
    outputs = {"correct": "boolean", "length": "integer"}
    steps = [step("grade", expected="no {{ n }}", outputs=outputs)]
    report, rows = answer(steps, [{"answer": "no 1", "n": 1}, {"answer": "xyz", "n": 2}])
    assert (report.status, report.calls_sent) == ("done", 0)
    assert [(row["out.correct"], row["out.length"]) for row in rows] == [(True, 4), (False, 3)]


def test_one_process_answers_row_after_row(answer: Answer) -> None:
    _, rows = answer([step("same_process", returns="integer")], ROWS)
    assert [row["out"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("fails", "ValueError: two is too much (line 16 of the script)"),
        ("dies", "the code's process exited with status 7"),
        ("hangs", "did not end within 1 s and was killed"),
    ],
)
def test_a_row_whose_code_fails_is_a_failed_row_and_its_neighbours_are_not(
    answer: Answer, function: str, reason: str
) -> None:
    report, rows = answer([step(function, returns="integer")], ROWS, execution={"timeout": 1})
    assert [row["llm_status"] for row in rows] == ["succeeded", "invalid_input", "succeeded"]
    assert [row["out"] for row in rows] == [1, None, 3]
    assert reason in rows[1]["llm_error"]
    assert report.status == "partial"


@pytest.mark.parametrize(
    ("function", "reason"),
    [("leaves", "SystemExit: gone"), ("no_json", "not JSON serializable"), ("hungry", "MemoryError")],
)
def test_what_cannot_be_an_answer_is_told(answer: Answer, function: str, reason: str) -> None:
    _, [row] = answer([step(function)], ROWS[:1])
    assert reason in row["llm_error"]


def test_code_sees_no_key(answer: Answer) -> None:
    _, [row] = answer([step("secret", returns={"type": "array", "items": {"type": "string"}})], ROWS[:1])
    assert row["out"] == []


def test_a_recorded_answer_is_computed_once_for_the_same_inputs(house: House, answer: Answer) -> None:
    recorded = step("counted", returns="integer", recorded=True)
    report, rows = answer([recorded], [*ROWS, {"n": 1}])
    assert [row["out"] for row in rows] == [2, 4, 6, 2]
    assert (report.calls_sent, report.calls_reused, report.cost_usd) == (3, 1, 0.0)
    again, rows = answer([{**recorded, "name": "other"}], [*ROWS, {"n": 4}])
    assert [row["other"] for row in rows] == [2, 4, 6, 8]
    assert (again.calls_sent, again.calls_reused) == (1, 3)
    assert (house.home / "scripts" / "count").read_text() == "xxxx"


def test_what_a_step_makes_of_a_recorded_answer_is_not_what_is_recorded(answer: Answer) -> None:
    answer([step("grade", expected="a", strict=True, recorded=True)], [{"answer": "a"}])
    outputs = {"correct": "boolean", "length": "number"}
    report, [row] = answer([step("grade", expected="a", recorded=True, outputs=outputs)], [{"answer": "a"}])
    assert (report.calls_sent, report.calls_reused) == (0, 1)
    assert (row["out.correct"], row["out.length"]) == (True, 1.0)
    wrong = step("grade", expected="a", recorded=True, outputs={"correct": "string"})
    _, [row] = answer([wrong], [{"answer": "a"}])
    assert row["llm_status"] != "succeeded"


def test_code_that_is_changed_is_other_code(answer: Answer, script: Path) -> None:
    answer([step("counted", recorded=True)], ROWS)
    script.write_text(SCRIPT.replace("n * 2", "n * 3"))
    report, rows = answer([step("counted", returns="integer", recorded=True)], ROWS)
    assert report.calls_sent == 3
    assert [row["out"] for row in rows] == [3, 6, 9]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"script": "none.py", "function": "f"}, "no such script"),
        ({"script": "../grade.py", "function": "f"}, "leaves the allowed folder"),
        ({"script": "grade.txt", "function": "f"}, "does not match"),
        (
            {"script": "grade.py", "function": "grad"},
            "no function 'grad'",
        ),
        ({"script": "grade.py"}, "lacks the input 'function'"),
        ({"script": "grade.py", "function": "fails", "m": 1}, "no input 'm'"),
        ({"script": "grade.py", "function": "fails", "returns": "text"}, "returns"),
        ({"script": "grade.py", "function": "fails", "recorded": "yes"}, "recorded"),
        ({"script": "grade.py", "function": "grade"}, "expected"),
        ({"script": "broken.py", "function": "f"}, "is no Python"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_spent(
    house: House, answer: Answer, inputs: Mapping[str, Any], reason: str
) -> None:
    (house.home / "scripts" / "grade.txt").write_text("")
    (house.home / "scripts" / "broken.py").write_text("def f(:\n")
    with pytest.raises(DocumentError) as refused:
        answer([{"name": "out", "task": "lambda", "inputs": inputs}], [{"n": 1, "answer": "a"}])
    assert reason in str(refused.value)


def javascript(**inputs: Any) -> dict[str, Any]:
    return {"name": "out", "task": "JavaScriptTask", "inputs": inputs}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("n * factor", [10, 20, 30]),
        ("const twice = n * 2; return twice + 1", [3, 5, 7]),
        ("[typeof require, typeof fetch, typeof process].filter((kind) => kind !== 'undefined').length", [0, 0, 0]),
    ],
)
def test_javascript_is_an_expression_or_the_body_of_a_function(answer: Answer, code: str, expected: list[int]) -> None:
    _, rows = answer([javascript(code=code, n="{{ n }}", factor=10, returns="integer")], ROWS)
    assert [row["out"] for row in rows] == expected


def test_javascript_may_call_a_function_of_a_script(house: House, answer: Answer) -> None:
    (house.home / "scripts" / "grade.js").write_text("const grade = ({ n }) => ({ odd: n % 2 === 1, n })\n")
    outputs = {"odd": "boolean", "n": "integer"}
    _, rows = answer([javascript(script="grade.js", function="grade", n="{{ n }}", outputs=outputs)], ROWS)
    assert [(row["out.odd"], row["out.n"]) for row in rows] == [(True, 1), (False, 2), (True, 3)]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("n.a.b", "TypeError: Cannot read properties of undefined"),
        ("this is no code", "SyntaxError"),
        ("for (;;) {}", "did not end within 1 s"),
    ],
)
def test_javascript_that_fails_fails_its_row(answer: Answer, code: str, reason: str) -> None:
    _, [row] = answer([javascript(code=code, n="{{ n }}")], ROWS[:1], execution={"timeout": 1})
    assert reason in row["llm_error"]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "either `code`, or a `function`"),
        ({"code": "1", "script": "a.js", "function": "f"}, "either `code`"),
        ({"script": "a.js"}, "write `script` and `function`"),
        ({"code": "1", "a-b": 1}, "'a-b' cannot be one"),
        ({"script": "../a.js", "function": "f"}, "leaves the allowed folder"),
        ({"code": 1}, "code"),
    ],
)
def test_javascript_that_cannot_run_is_refused(answer: Answer, inputs: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(DocumentError) as refused:
        answer([javascript(**inputs)], ROWS)
    assert reason in str(refused.value)


def test_a_plan_looks_for_recorded_answers_and_computes_none(house: House, answer: Answer) -> None:
    recorded = step("counted", returns="integer", recorded=True)
    answer([recorded], ROWS[:1])
    after = {"name": "said", "text": "{{ out }}"}
    job = {"name": "p", "model": "simulated", "input": {"rows": ROWS}, "steps": [recorded, after]}
    path = str(house.write("p.json", {"job": job}))
    planned = house.invoke("plan", path, "--json")
    assert planned.exit_code == 0, planned.output
    [told] = facts(planned.stdout)
    assert (told["calls"]["total"], told["calls"]["new"], told["calls"]["unknown"]) == (3, 1, 2)
    assert (told["rows"]["new"], told["rows"]["reused"]) == (3, 0)
    assert house.invoke("validate", path).exit_code == 0
    assert (house.home / "scripts" / "count").read_text() == "x"


def test_a_job_that_was_submitted_runs_no_other_code(house: House, script: Path) -> None:
    job = {"name": "p", "input": {"rows": ROWS}, "steps": [step("counted", returns="integer")]}
    path = house.write("p.json", {"job": job})
    [accepted] = house.accept(path)
    script.write_text(SCRIPT.replace("n * 2", "n * 3"))
    ran = house.invoke("run", accepted.hash)
    assert ran.exit_code != 0
    assert "the script grade.py was changed" in ran.output
    script.write_text(SCRIPT)
    again = house.invoke("run", accepted.hash)
    assert again.exit_code == 0, again.output
