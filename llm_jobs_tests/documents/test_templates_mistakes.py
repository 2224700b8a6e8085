"""Each mistake in a template, or in what is given for it: its line, key, reason and remedy."""

from __future__ import annotations

import pytest

from llm_jobs.documents.choices import read_parameters
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, Problem
from llm_jobs_tests.documents.test_templates import TEMPLATE

GOOD = ("language=German",)
LANGUAGE = "{name: language, choices: [English, German]}"
JOB_LINE = "    name: ${job_name}"


def problems_of(text: str, *parameters: str) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parse_document("t.yaml", text.encode(), parameters=read_parameters(parameters))
    return caught.value.problems


@pytest.mark.parametrize(
    ("parameters", "line", "key", "what", "remedy"),
    [
        ((), 4, "template.parameters[0]", "the parameter language is not given", "--param language=…"),
        (("language=French",), 4, "template.parameters[0]", "none of its choices", "choose one"),
        ((*GOOD, "temperature=hot"), 5, "template.parameters[1]", "is no number", "temperature=0.5"),
        ((*GOOD, "samples=1.5"), 6, "template.parameters[2]", "is no integer", "samples=7"),
        ((*GOOD, "samples=true"), 6, "template.parameters[2]", "is no integer", "samples=7"),
        ((*GOOD, "strict=yes"), 7, "template.parameters[3]", "is no boolean", "strict=true"),
        ((*GOOD, "stops=END"), 8, "template.parameters[4]", "is no list", "stops='["),
        (("language=true",), 4, "template.parameters[0]", "is no string", "choose one"),
        ((*GOOD, "langage=x"), None, "langage", "names nothing", "declare it"),
    ],
)
def test_what_is_given_is_checked(
    parameters: tuple[str, ...], line: int | None, key: str, what: str, remedy: str
) -> None:
    [problem] = problems_of(TEMPLATE, *parameters)
    assert (problem.file, problem.line, problem.key) == ("t.yaml", line, key)
    assert what in problem.what
    assert remedy in str(problem.remedy)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "what"),
    [
        ("name: labels", "nam: labels", 2, "template.nam", "unknown key 'nam'"),
        (LANGUAGE, "{name: language, typ: string}", 4, "template.parameters[0].typ", "unknown key 'typ'"),
        (LANGUAGE, "{name: language, type: text}", 4, "template.parameters[0].type", "is not one of the values"),
        (LANGUAGE, "{name: 2nd}", 4, "template.parameters[0].name", "cannot be named so"),
        (LANGUAGE, "{name: job_name}", 4, "template.parameters[0].name", "cannot be named so"),
        ("name: samples,", "name: language,", 6, "template.parameters[2].name", "declared twice"),
        ("type: number, default: 0", "type: number, default: x", 5, "template.parameters[1].default", "is no number"),
        (
            "type: number, default: 0",
            "type: number, required: true, default: 0",
            5,
            "template.parameters[1].default",
            "a required parameter has a default",
        ),
        (LANGUAGE, "{name: language, choices: []}", 4, "template.parameters[0].choices", "at least 1 item"),
        ("${language},", "${langage},", 16, "template.job.prompts[0].text", "neither a parameter of the template nor"),
        ("dry", '"${HOME}"', 18, "template.job.prompts[0].parameters.tone", "neither a parameter of the template nor"),
        ("at ${temperature}", "at ${stops}", 16, "template.job.prompts[0].text", "a list and stands within a text"),
        ("at ${temperature}", "at ${strict}", 16, "template.job.prompts[0].text", "null and stands within a text"),
        ("tone: dry", '"${language}": dry', 18, "template.job.prompts[0].parameters['${language}']", "in a key"),
        ("model: simulated", "modle: simulated", 15, "template.job.prompts[0].modle", "unknown key 'modle'"),
        ("sample: ${samples}", "sample: ${language}", 11, "template.job.sample", "should be a whole number"),
        ("  job:\n", "  jobb:\n", 9, "template.jobb", "unknown key 'jobb'"),
    ],
)
def test_a_template_is_checked_and_errors_point_into_it(old: str, new: str, line: int, key: str, what: str) -> None:
    assert old in TEMPLATE
    problems = problems_of(TEMPLATE.replace(old, new, 1), *GOOD)
    found = next(problem for problem in problems if what in problem.what)
    assert (found.file, found.line, found.key) == ("t.yaml", line, key)


@pytest.mark.parametrize(
    "value",
    [
        "reviews; DROP TABLE reviews",
        "reviews WHERE 1=1",
        "reviews--",
        "a b",
        "'",
        '"r"',
        "-1",
        "1e5",
        "",
        "a.b.c.d.e",
        "r/**/",
        "ré",
        "a\nb",
    ],
)
@pytest.mark.parametrize("sql", ["SELECT * FROM ${language}", "${language}"])
def test_nothing_but_a_name_or_a_number_comes_into_sql(sql: str, value: str) -> None:
    text = TEMPLATE.replace("rows: [{id: 1, text: good}]", f'source: database, query: "{sql}"')
    text = text.replace(LANGUAGE, "{name: language}")
    with pytest.raises(DocumentError, match="cannot stand in SQL") as caught:
        parse_document("t.yaml", text.encode(), parameters={"language": value})
    assert caught.value.problems[0].key == "template.job.input.query"


def test_a_template_that_is_nothing_lacks_all_that_it_needs() -> None:
    assert {problem.key for problem in problems_of("template: {}")} == {"template.name", "template.job"}
