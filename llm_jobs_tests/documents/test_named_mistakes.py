"""What a document names and may not have, or what is not there, is told at its key before anything is kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.operations.accept import accept
from llm_jobs.operations.describe import latest_jobs
from llm_jobs.operations.executor import JobExecutor
from llm_jobs.operations.services import Services
from llm_jobs_tests.cli.house import House

JOB = "job:\n  name: reviews\n  model: simulated\n"
ROWS = "  input: {rows: [{text: a}]}\n"
PROMPTS = "  prompts: [{name: said, text: 'Say {{ text }}'}]\n"
GOOD = JOB + ROWS + PROMPTS
INPUT = JOB + PROMPTS + "  input:\n"
NO_SERVER = ROWS + "  prompts:\n    - name: said\n      text: Hello\n"
ENDPOINT = "      endpoint: http://127.0.0.1:9/v1 #!\n"
GRAPH = "  steps: [{name: said, text: Hello}, {name: kept, filter: 'text == 1'}]\n"

MISTAKES = {
    "a host of an API": (INPUT + "    endpoint: https://api.example.com/a #!\n", SetupError, "LLM_JOBS_ALLOWED_HOSTS"),
    "a host of a file": (
        INPUT + "    path: https://files.example.com/a.csv #!\n",
        SetupError,
        "LLM_JOBS_ALLOWED_HOSTS",
    ),
    "a bucket": (INPUT + "    path: s3://bucket/a.csv #!\n", SetupError, "s3://bucket may not be reached"),
    "a host of a database": (
        INPUT + "    query: SELECT 1\n    connection: postgresql://ann@db.example/shop #!\n",
        SetupError,
        "db.example may not be reached",
    ),
    "a connection": (
        INPUT + "    query: SELECT 1\n    connection: wearhouse #!\n",
        SetupError,
        "did you mean 'warehouse'?",
    ),
    "no connection": (INPUT.replace("input:", "input: #!") + "    query: SELECT 1\n", SetupError, "named 'default'"),
    "a variable of a connection": (
        INPUT + "    query: SELECT 1\n    connection: ${SHOP_URL} #!\n",
        SetupError,
        "SHOP_URL, which is not set",
    ),
    "a connection of a condition": (
        GOOD + "  conditions: #!\n    - {type: data_available, check: SELECT 1, threshold: 1, connection: wearhouse}\n",
        SetupError,
        "did you mean 'warehouse'?",
    ),
    "an alert that cannot be sent": (
        GOOD + "  alerts: #!\n    - {condition: error_rate > 0.1, action: email, recipients: [ann@example.com]}\n",
        SetupError,
        "or remove the alert",
    ),
    "an endpoint of a model without a server": (JOB + NO_SERVER + ENDPOINT, DocumentError, "remove the endpoint"),
    "batches of a graph": (JOB + ROWS + "  mode: batch #!\n" + GRAPH, DocumentError, "result_of: NAME"),
    "a parameter out of range": (
        JOB.replace("simulated", "anthropic/claude-haiku-4-5") + NO_SERVER + "      temperature: 3 #!\n",
        DocumentError,
        "choose a value from 0 to 1",
    ),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("house"))
    house.home.mkdir()
    (house.home / "connections.yaml").write_text("warehouse: sqlite:///warehouse.db\n")
    return house


@pytest.fixture(scope="module")
def services(house: House) -> Iterator[Services]:
    with house.entry.open_services() as services:
        yield services


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_may_not_be_named_is_told_at_its_key(house: House, services: Services, mistake: str) -> None:
    text, kind, told = MISTAKES[mistake]
    [line] = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("#!")]
    with pytest.raises(kind) as caught:
        accept(services, house.write("document.yaml", text), origin="cli")
    assert str(caught.value).startswith(f"document.yaml:{line}: ")
    assert told in str(caught.value)
    assert latest_jobs(services) == []
    if mistake != "an alert that cannot be sent":  # from here; the document is good, and validate says so
        assert f"document.yaml:{line}: " in house.invoke("validate", "document.yaml").stderr


def test_a_document_with_an_endpoint_is_tried_with_a_model_without_one(house: House) -> None:
    house.write("document.yaml", JOB.replace("simulated", "openai/gpt-4.1-mini") + NO_SERVER + ENDPOINT)
    assert house.invoke("validate", "document.yaml", "--model", "simulated").exit_code == 0


def test_a_pipeline_that_goes_round_is_told_with_its_way_wherever_it_is_read() -> None:
    text = "pipeline:\n  jobs:\n    - {name: a, depends_on: [b]}\n    - {name: b, depends_on: [a]}\n"
    with pytest.raises(DocumentError) as caught:
        parse_document("p.yaml", text.encode())
    [problem] = caught.value.problems
    assert (problem.line, problem.what) == (3, "the jobs wait for each other: a → b → a")


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        ("  depends_on: other\n", "depends_on"),
        ("  conditions: [{type: time_window, start: '09:00', end: '17:00'}]\n", "conditions"),
    ],
)
def test_the_python_api_refuses_a_job_that_waits_unless_it_is_told_to_ignore_that(
    house: House, rules: str, key: str
) -> None:
    document = house.write("document.yaml", GOOD + rules)
    with pytest.raises(DocumentError) as caught:
        JobExecutor(document, home=house.home).run()
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (6, f"job.{key}")
    assert "ignore_conditions=True" in (problem.remedy or "")
    assert JobExecutor(document, home=house.home, ignore_conditions=True).run().status == "done"
