"""A mistake inside a text is told on its line of the text, and in the file that holds the text.

The line of each mistake ends in `#!`, as a comment of YAML or as a part of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm_jobs.errors import DocumentError, Problem
from llm_jobs.operations.accept import accept
from llm_jobs.operations.describe import latest_jobs
from llm_jobs.operations.services import Services
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.reference.stage import write

JOB = "job:\n  name: reviews\n  model: simulated\n"
HEAD = JOB + "  input: {rows: [{text: a}]}\n"
PROMPT = HEAD + "  prompts:\n    - name: said\n"
STEPS = HEAD + "  steps:\n    - name: said\n"

DOCUMENTS = {
    "a column in a text": PROMPT + "      text: 'Say {{ txet }}' #!\n",
    "a column on a later line": PROMPT + "      text: |\n        The txet is\n        {{ txet }} #!\n",
    "a column in a message": PROMPT
    + "      messages:\n        - {role: system, content: Hello}\n"
    + "        - role: user\n          content: |\n            Say\n            {{ txet }} #!\n",
    "a column of a filter": STEPS + "      filter: txet == 1 #!\n    - {name: other, text: Hello}\n",
    "a column of a condition": STEPS + "      text: Hello\n      when: txet == 1 #!\n",
    "a column that is split": STEPS + "      split: txet #!\n    - {name: other, text: Hello}\n",
    "a column of a group": STEPS + "      reduce:\n        by:\n          - txet #!\n        aggregate: {n: count}\n",
    "a column of an aggregate": STEPS + "      reduce:\n        aggregate:\n          n: {mean: txet} #!\n",
    "a column of a task": STEPS + "      task: split_paragraphs\n      inputs:\n        text: '{{ txet }}' #!\n",
    "a column of a step within a step": STEPS
    + "      loop: {at_most: 2}\n      steps:\n        - name: inner\n          text: '{{ txet }}' #!\n",
    "a column of a loop": STEPS
    + "      steps: [{name: inner, text: Hello}]\n      loop:\n        at_most: 2\n        until: txet == 1 #!\n",
    "an open brace": PROMPT + "      text: |\n        Hello\n        {{ text #!\n",
    "a filter that there is not": PROMPT + "      text: '{{ text | uper }}' #!\n",
    "a file that is included": PROMPT + "      text: '{% include \"a\" %}' #!\n",
    "a type of a schema": PROMPT + "      text: Hello\n      schema:\n        type: objekt #!\n",
    "a schema elsewhere": PROMPT + "      text: Hello\n      schema: {$ref: 'https://example.com/a'} #!\n",
    "an answer with the name of a column": PROMPT
    + "      text: Hello\n      schema:\n        type: object\n        properties:\n          text: {} #!\n",
    "an unknown model of the job": HEAD.replace("simulated", "simulted #!")
    + "  prompts: [{name: said, text: Hello}]\n",
    "an unknown model of a list": "job:\n  name: reviews\n  fallback:\n    - simulated\n    - simulted #!\n"
    "  prompts: [{name: said, text: Hello}]\n",
    "an unknown task": STEPS + "      task: split_paragrafs #!\n",
    "an unknown version": HEAD + "  prompts:\n    - name: known\n      version: ^2.0.0 #!\n",
    "a column of a Parquet file": JOB
    + "  input: {path: rows.parquet}\n  prompts:\n    - name: said\n      text: '{{ txet }}' #!\n",
}
LIBRARY = {
    "a column": "messages:\n  - role: user\n    content: |\n      The txet is\n      {{ txet }} #!\n",
    "an open brace": "description: Hello\ntext: |\n  Hello\n  {{ text #!\n",
    "a schema": "text: Hello\nschema:\n  type: objekt #!\n",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("house"))
    write(house.home / "prompts/known/1.0.0.yaml", "text: Hello\n")
    pq.write_table(pa.table({"text": ["a"]}), house.folder / "rows.parquet")
    return house


@pytest.fixture(scope="module")
def services(house: House) -> Iterator[Services]:
    with house.entry.open_services() as services:
        yield services


def problem_of(services: Services, path: Path) -> Problem:
    with pytest.raises(DocumentError) as caught:
        accept(services, path, origin="cli")
    [problem] = caught.value.problems
    assert problem.rule
    assert problem.remedy
    assert latest_jobs(services) == []
    return problem


def marked(text: str) -> int:
    [line] = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("#!")]
    return line


@pytest.mark.parametrize("mistake", DOCUMENTS)
def test_what_is_wrong_inside_a_text_is_told_on_its_line(house: House, services: Services, mistake: str) -> None:
    text = DOCUMENTS[mistake]
    problem = problem_of(services, house.write("document.yaml", text))
    assert (problem.file, problem.line) == ("document.yaml", marked(text))


@pytest.mark.parametrize("mistake", LIBRARY)
def test_what_is_wrong_in_a_prompt_of_the_library_is_told_in_its_file(
    house: House, services: Services, mistake: str
) -> None:
    text = LIBRARY[mistake]
    file = house.home / "prompts/wrong/1.0.0.yaml"
    write(file, text)
    problem = problem_of(services, house.write("document.yaml", HEAD + "  prompts: [{name: wrong}]\n"))
    assert (problem.file, problem.line) == (str(file), marked(text))


def test_a_name_that_is_not_there_is_told_with_the_nearest(house: House, services: Services) -> None:
    document = house.write("document.yaml", DOCUMENTS["an unknown model of the job"])
    assert problem_of(services, document).remedy == "did you mean 'simulated'?"
