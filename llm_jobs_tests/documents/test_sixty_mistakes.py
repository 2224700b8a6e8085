"""Documents with one mistake each: what every one is answered with before anything is asked or kept.

The line of each mistake ends in `#!`. An error has the file, that line, what is wrong, the rule and the remedy; no
model is asked, nothing is submitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs.errors import DocumentError, Problem
from llm_jobs.operations.accept import accept
from llm_jobs.operations.describe import latest_jobs
from llm_jobs.operations.services import Services
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.reference.stage import write
from llm_jobs_tests.servers.replay import ReplayServer, replay_server

MARK = "#!"
JOB = "job:\n  name: reviews\n  model: counted\n"
ROWS = "  input: {rows: [{text: a}]}\n"
PROMPTS = "  prompts: [{name: said, text: 'Say {{ text }}'}]\n"
GOOD = JOB + ROWS + PROMPTS
BOMB = "".join(
    f"  {name}: &{name} [{', '.join([f'*{before}'] * 9)}] #!\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)

TEMPLATE = (
    "template:\n  name: t\n  parameters:\n    - {name: table, required: true} #!\n"
    "  job:\n    name: reviews\n    model: counted\n    input: {query: 'SELECT * FROM ${table}'}\n"
    "    prompts: [{name: said, text: Hello}]\n"
)
CYCLE = "  steps:\n    - {name: a, text: Hello, needs: [b]} #!\n    - {name: b, text: Hello, needs: [a]} #!\n"

MISTAKES = {
    "a typo in a key": GOOD + "  prioriti: hot #!\n",
    "a typo in a key of a prompt": JOB + ROWS + "  prompts:\n    - name: said\n      txt: Hello #!\n",
    "a typo in a key of the input": JOB + PROMPTS + "  input:\n    pth: a.csv #!\n",
    "a key twice": GOOD + "  model: other #!\n",
    "text where a number belongs": GOOD + "  execution:\n    concurrency: ten #!\n",
    "a number where text belongs": "job:\n  name: 5 #!\n  model: counted\n" + ROWS + PROMPTS,
    "a list where a mapping belongs": GOOD + "  execution: [1] #!\n",
    "a number out of range": GOOD + "  sample: 0 #!\n",
    "a negative temperature": JOB
    + ROWS
    + "  prompts:\n    - name: said\n      text: Hello\n      temperature: -1 #!\n",
    "no name of the job": "job: #!\n  model: counted\n" + ROWS + PROMPTS,
    "no name of a prompt": JOB + ROWS + "  prompts:\n    - text: Hello #!\n",
    "no model": "job:\n  name: reviews\n" + ROWS + "  prompts:\n    - {name: said, text: Hello} #!\n",
    "a prompt written twice": JOB
    + ROWS
    + "  prompts:\n    - name: said\n      text: Hello\n      messages: [{role: user, content: Hello}] #!\n",
    "two prompts of one name": JOB
    + ROWS
    + "  prompts:\n    - {name: said, text: Hello}\n    - {name: said, text: Bye} #!\n",
    "a role that there is not": JOB
    + ROWS
    + "  prompts:\n    - name: said\n      messages:\n        - {role: robot, content: Hello} #!\n",
    "a file that is not there": JOB + PROMPTS + "  input:\n    path: gone.csv #!\n",
    "a path out of bounds": JOB + PROMPTS + "  input:\n    path: /etc/passwd #!\n",
    "a format that is not read": JOB + PROMPTS + "  input:\n    path: rows.txt #!\n",
    "two inputs at once": JOB + PROMPTS + "  input: #!\n    path: rows.csv\n    query: SELECT 1\n",
    "an unknown source": JOB + PROMPTS + "  input:\n    source: telepathy #!\n",
    "SQL that writes": JOB + PROMPTS + "  input:\n    query: DELETE FROM reviews #!\n",
    "two statements of SQL": JOB + PROMPTS + "  input:\n    query: SELECT 1; DROP TABLE reviews #!\n",
    "a password in the open": JOB
    + PROMPTS
    + "  input:\n    query: SELECT 1 AS text\n    connection: postgresql://ann:hunter22@db.example/shop #!\n",
    "a key in the open": JOB
    + ROWS
    + "  prompts:\n    - name: said\n      text: Hello\n      api_key: sk-0123456789abcdef0123456789abcdef #!\n",
    "a variable that documents may not use": "job:\n  name: reviews\n  model: ${SECRET_MODEL} #!\n" + ROWS + PROMPTS,
    "paging in two ways": JOB
    + PROMPTS
    + "  input:\n    endpoint: https://api.example.com/reviews\n    paging: {page: p, offset: o} #!\n",
    "an unknown destination": GOOD + "  output:\n    destination: moon #!\n",
    "a table without a name": GOOD + "  output: #!\n    destination: database\n",
    "an upsert without a key": GOOD + "  output:\n    destination: database\n    table: results\n    mode: upsert #!\n",
    "an output out of bounds": GOOD + "  output:\n    path: /etc/results.csv #!\n",
    "a placeholder of paths that there is not": GOOD + "  output:\n    path: 'out/{{ moon }}.csv' #!\n",
    "a bad cron": GOOD + "  schedule:\n    cron: '61 9 * * *' #!\n",
    "an unknown time zone": GOOD + "  schedule:\n    cron: '0 9 * * *'\n    timezone: Mars/Olympus #!\n",
    "no cron": GOOD + "  schedule: #!\n    timezone: UTC\n",
    "an unknown trigger": GOOD + "  triggers:\n    - type: whim #!\n",
    "a trigger without its path": GOOD + "  triggers:\n    - type: file_created #!\n",
    "a time that is none": GOOD + "  conditions:\n    - {type: time_window, start: '25:00', end: '17:00'} #!\n",
    "a check that writes": GOOD
    + "  conditions:\n    - {type: data_available, check: DELETE FROM new_data, threshold: 1} #!\n",
    "an alert on an unknown metric": GOOD + "  alerts:\n    - {condition: eror_rate > 0.1, action: log} #!\n",
    "an alert that is no expression": GOOD + "  alerts:\n    - {condition: error_rate >, action: log} #!\n",
    "an alert without its recipients": GOOD + "  alerts:\n    - {condition: error_rate > 0.1, action: email} #!\n",
    "an unknown metric": GOOD + "  monitoring:\n    metrics: [happiness] #!\n",
    "an unknown level": GOOD + "  logging:\n    level: loud #!\n",
    "a budget of nothing": GOOD + "  budget:\n    max_cost_usd: 0 #!\n",
    "a status that there is not": GOOD + "  on_status:\n    happy: give_up #!\n",
    "a rule that there is not": GOOD + "  on_status:\n    empty: shrug #!\n",
    "a fallback of no list": JOB
    + ROWS
    + "  prompts: [{name: said, on_status: {empty: fallback}, text: 'Say {{ text }}'}] #!\n",
    "an unknown strategy": GOOD + "  error_handling:\n    on_input_error:\n      strategy: pray #!\n",
    "an unknown stack": JOB + ROWS + "  stack: missing #!\n",
    "an unknown step that is needed": JOB + ROWS + "  steps:\n    - {name: a, text: Hello, needs: [missing]} #!\n",
    "a step that needs itself": JOB + ROWS + "  steps:\n    - {name: a, text: Hello, needs: [a]} #!\n",
    "a step of an earlier table that is needed": JOB
    + ROWS
    + "  steps:\n    - {name: a, text: Hello}\n    - {name: b, split: text}\n"
    + "    - {name: c, text: Hello, needs: [a]} #!\n",
    "a step of a later table that is needed": JOB
    + ROWS
    + "  steps:\n    - {name: a, text: Hello, needs: [c]} #!\n    - {name: b, split: text}\n"
    + "    - {name: c, text: Hello}\n",
    "several models of a step that asks none": JOB
    + ROWS
    + "  steps:\n    - {name: a, reduce: {aggregate: {n: count}}, for_each_model: [counted]} #!\n",
    "a model twice, once with a weight": JOB
    + ROWS
    + "  prompts: [{name: a, text: Hello, models: [x, {name: x, weight: 2}]}] #!\n",
    "a filter that is no expression": JOB + ROWS + "  steps:\n    - {name: a, filter: 'text =='} #!\n",
    "a condition that is no expression": JOB + ROWS + "  steps:\n    - {name: a, text: Hello, when: 'text =='} #!\n",
    "a step of two kinds": JOB + ROWS + "  steps:\n    - {name: a, filter: 'text == 1', split: text} #!\n",
    "an aggregate that there is not": JOB
    + ROWS
    + "  steps:\n    - {name: a, reduce: {aggregate: {n: {median: text}}}} #!\n",
    "a loop without an end": JOB
    + ROWS
    + "  steps:\n    - {name: a, steps: [{name: b, text: Hello}], loop: {until: 'b == 1'}} #!\n",
    "a profile of an unknown key": GOOD + "  profiles:\n    fast: {modle: counted} #!\n",
    "an anchor bomb": "job:\n  name: reviews\n  labels: &a {x: y}\n" + BOMB,
    "a tag": GOOD + "  description: !!python/object:os.system ls #!\n",
    "a tab": "job:\n\tname: reviews #!\n",
    "an unclosed bracket": JOB + ROWS + "  prompts: [{name: said\n  sample: 1 #!\n",
    "a merge key": "base: &b {model: counted}\njob:\n  name: reviews\n  model: counted\n"
    + ROWS
    + PROMPTS
    + "  execution: {<<: *b} #!\n",
    "a key beside the job": GOOD + "jobs: 1 #!\n",
    "no document": "prompts: [] #!\n",
    "a template without a parameter that it requires": TEMPLATE,
    "steps that need each other": JOB + ROWS + CYCLE,
}

# What is no YAML at all, which the editor's own parser tells.
UNREADABLE = {"a key twice", "an anchor bomb", "a tag", "a tab", "an unclosed bracket", "a merge key"}
# What takes the whole document, the machine or the expression language to see: the JSON Schema accepts these, and no
# other (`test_schema_documents`).
UNSEEN = {
    "no model",  # --model may name it
    "two prompts of one name",
    "a file that is not there",
    "a path out of bounds",
    "a format that is not read",  # a variable may stand in the path
    "two statements of SQL",
    "a variable that documents may not use",
    "an output out of bounds",
    "an unknown time zone",
    "an alert on an unknown metric",
    "an alert that is no expression",
    "a fallback of no list",
    "an unknown stack",
    "an unknown step that is needed",
    "a step that needs itself",
    "a filter that is no expression",
    "a condition that is no expression",
    "a template without a parameter that it requires",
    "steps that need each other",
    "a model twice, once with a weight",
    "a step of a later table that is needed",
    "a step of an earlier table that is needed",
}

NAMED = {
    "an unknown model": ("{name: said, text: Hello, model: nobody}", "known are counted"),
    "an unknown prompt": ("{name: missing}", "there are known"),
    "a version out of range": ("{name: known, version: ^2.0.0}", "there are 1.0.0"),
    "a version that is none": ("{name: known, version: newest}", "write 1.2.3, ^1.2, ~1.2.3 or latest"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    with replay_server() as started:
        yield started


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, server: ReplayServer) -> House:
    """A house with a model, a prompt and two files, in which a document without a mistake runs."""
    house = House(tmp_path_factory.mktemp("house"))
    model = f"{{provider: openai, model: m, base_url: '{server.url}/v1', key: COUNTED_KEY}}"
    write(house.home / "models.yaml", f"counted: {model}\n")
    write(house.home / "prompts/known/1.0.0.yaml", "messages: [{role: user, content: Hello}]\n")
    house.variables.update(COUNTED_KEY="k", LLM_JOBS_ALLOWED_HOSTS="api.example.com")
    for name in ("rows.csv", "rows.txt"):
        house.write(name, "text\na\n")
    return house


@pytest.fixture(scope="module")
def services(house: House) -> Iterator[Services]:
    with house.entry.open_services() as services:
        yield services


def problems(services: Services, path: Path) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        accept(services, path, origin="cli")
    return caught.value.problems


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_remedy_and_costs_nothing(
    house: House, services: Services, server: ReplayServer, mistake: str
) -> None:
    document = MISTAKES[mistake]
    lines = [number for number, line in enumerate(document.splitlines(), 1) if line.endswith(MARK)]
    found = problems(services, house.write("document.yaml", document))
    assert found[0].line in lines
    assert all(each.file == "document.yaml" and each.what and each.rule and each.remedy for each in found)
    assert (server.stats()["total"], latest_jobs(services)) == (0, [])


@pytest.mark.parametrize("mistake", NAMED)
def test_a_name_that_is_not_there_is_told_with_its_line_and_the_names_that_are(
    house: House, services: Services, server: ReplayServer, mistake: str
) -> None:
    prompt, told = NAMED[mistake]
    [found] = problems(services, house.write("document.yaml", f"{JOB}{ROWS}  prompts:\n    - {prompt}\n"))
    assert (found.file, found.line) == ("document.yaml", 6)
    assert told in str(found)
    assert found.rule
    assert found.remedy
    assert (server.stats()["total"], latest_jobs(services)) == (0, [])


def test_the_same_document_without_a_mistake_is_answered(tmp_path: Path) -> None:
    house = House(tmp_path)
    with replay_server() as server:
        house.variables["COUNTED_KEY"] = "k"
        model = f"{{provider: openai, model: m, base_url: '{server.url}/v1', key: COUNTED_KEY}}"
        write(house.home / "models.yaml", f"counted: {model}\n")
        [report] = house.answer(house.write("document.yaml", GOOD))
        assert (report.status, server.stats()["total"]) == ("done", 1)


def test_there_are_sixty_of_them() -> None:
    assert len(MISTAKES) >= 60
