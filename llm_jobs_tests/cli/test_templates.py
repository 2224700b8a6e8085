"""`create-job-from-template`, and templates that are run as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_jobs import JobExecutor
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs_tests.cli.house import House, facts
from llm_jobs_tests.reference.stage import block

LABELS = """\
template:
  name: labels
  parameters:
    - {name: language, choices: [English, German]}
    - {name: temperature, type: number, default: 0}
  job:
    name: ${job_name}
    model: simulated
    input: {rows: [{id: 1, text: good}]}
    prompts:
      - {name: label, text: "In ${language}: {{ text }}", temperature: "${temperature}"}
"""
REFERENCE = block(24)
CREATE = "create-job-from-template"


@pytest.fixture
def templates(house: House) -> House:
    folder = house.home / "templates"
    folder.mkdir(parents=True)
    (folder / "labels.yaml").write_text(LABELS)
    (folder / "reference.yaml").write_text(REFERENCE)
    return house


def test_the_reference_s_command_makes_the_job(templates: House) -> None:
    made = templates.invoke(
        *(CREATE, "analysis_template", "--param", "input_table=reviews", "--param", "model_name=gpt-4"),
        *("--name", "review_analysis"),
    )
    assert made.exit_code == 0
    assert read_yaml("made.yaml", made.stdout).value == {
        "job": {
            "name": "review_analysis",
            "input": {"source": "database", "query": "SELECT * FROM reviews"},
            "prompts": [{"name": "analyzer", "model": "gpt-4"}],
        }
    }


@pytest.mark.parametrize("named", ["labels", "labels.yaml", "home/templates/labels.yaml"])
def test_what_is_made_is_the_job_that_the_template_is_when_it_is_run(templates: House, named: str) -> None:
    made = templates.invoke(CREATE, named, "--param", "language=German", "--name", "mine", "--out", "mine.yaml")
    assert made.exit_code == 0
    result = JobExecutor(templates.folder / "mine.yaml", home=templates.home).run()
    parameters = {"language": "German", "job_name": "direct"}
    direct = JobExecutor(templates.home / "templates/labels.yaml", home=templates.home, parameters=parameters).run()
    assert (result.name, direct.name) == ("mine", "direct")
    assert result.job_hash == direct.job_hash
    assert result.rows == 1


def test_a_job_that_a_template_made_is_run_again_by_its_name(templates: House) -> None:
    path = templates.home / "templates/labels.yaml"
    JobExecutor(path, home=templates.home, parameters={"language": "German", "job_name": "kept"}).run()
    again = JobExecutor("kept", home=templates.home, parameters={"temperature": 1}).run()
    assert again.name == "kept"
    kept = next((templates.home / "jobs" / again.job_hash).iterdir())
    assert b"In German" in kept.read_bytes()


@pytest.mark.parametrize("written", ["template:\n", '{"template":\n', "'template' : \n", "# first\n  template:\n"])
def test_a_template_is_kept_as_what_it_made_however_it_is_written(house: House, written: str) -> None:
    body = (
        '{"name": "t", "job": {"name": "${job_name}", "model": "simulated", "prompts": [{"name": "a", "text": "b"}]}}'
    )
    text = f"{written}    {body}" + ("}" if written.startswith("{") else "")
    result = JobExecutor(house.write("t.yaml", text), home=house.home).run()
    kept = next((house.home / "jobs" / result.job_hash).iterdir()).read_text()
    assert kept.startswith("job:")


def test_a_made_job_is_submitted(templates: House) -> None:
    made = templates.invoke(CREATE, "labels", "--param", "language=German", "--name", "a/b c", "--submit", "--json")
    assert made.exit_code == 0
    [told] = facts(made.stdout)
    assert told["inbox"] == str(templates.home / "inbox" / "a_b_c.yaml")
    assert Path(told["inbox"]).read_text() == told["document"]


def test_a_file_that_is_there_is_left_alone(templates: House) -> None:
    templates.write("mine.yaml", "mine")
    made = templates.invoke(CREATE, "labels", "--param", "language=German", "--out", "mine.yaml")
    assert made.exit_code != 0
    assert "exists; choose another name" in made.output
    assert (templates.folder / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("lables",), "no template 'lables'"),
        (("lables",), "did you mean 'labels'?"),
        (("labels",), "labels.yaml:4: the parameter language is not given"),
        (("labels", "--param", "language=French"), "labels.yaml:4: the parameter language is none of its choices"),
        (("labels", "--param", "language=German", "--param", "tone=x"), "there is no parameter 'tone'"),
        (("labels", "--param", "language=German", "--param", "max_tokens=4"), "there is no parameter 'max_tokens'"),
        (("labels", "--param", "language"), "is not of the form name=value"),
        (
            ("reference", "--param", "input_table=a;b"),
            "yaml:15: the value of ${input_table} cannot stand in SQL",
        ),
    ],
)
def test_a_mistake_makes_nothing(templates: House, arguments: tuple[str, ...], what: str) -> None:
    made = templates.invoke(CREATE, *arguments, "--out", "made.yaml", "--submit")
    assert made.exit_code == 2
    assert what in made.output
    assert not (templates.folder / "made.yaml").exists()
    assert list((templates.home / "inbox").iterdir()) == []


def test_templates_are_listed_with_their_parameters(templates: House) -> None:
    (templates.home / "templates/broken.yaml").write_text("template: {}")
    listed = {line["template"]: line for line in facts(templates.invoke("templates", "--json").stdout)}
    assert list(listed) == ["broken", "labels", "analysis_template"]
    assert listed["labels"]["parameters"] == "language: string, temperature: number = 0"
    assert "the key 'name' is missing" in listed["broken"]["parameters"]
    assert "analysis_template" in templates.invoke("templates").stdout


def test_stacks_are_listed_with_their_versions(house: House) -> None:
    assert "There is no stack" in house.invoke("stacks").stdout
    files = {"1.0.0": "prompts: [{name: a}]", "1.10.0": "steps: [{name: a}, {name: b}]", "2.0.0": "x: 1"}
    for version, text in files.items():
        path = house.home / f"stacks/twice/{version}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    listed = facts(house.invoke("stacks", "--json").stdout)
    assert [(line["version"], line["steps"]) for line in listed] == [("1.0.0", 1), ("1.10.0", 2), ("2.0.0", 0)]
    assert "unknown key 'x'" in listed[2]["parameters"]
