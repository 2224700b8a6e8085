"""Locks: what a range stood for is what it means, until somebody accepts a change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from llm_jobs import JobExecutor
from llm_jobs.clock import SetClock
from llm_jobs.documents.content import shown_content
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.steps import PromptStep
from llm_jobs.errors import DocumentError
from llm_jobs.operations.accept import read_jobs
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.intake import intake
from llm_jobs.operations.launchable import launchable
from llm_jobs.operations.named import read_named
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.release import release
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.launching import document as written
from llm_jobs_tests.operations.launching import opened

DOCUMENT = """
job:
  name: locked
  input: {rows: [{id: 1, text: good}]}
  prompts:
    - {name: said, version: ^1.0, model: simulated}
    - {name: latest, model: careful}
  profiles:
    other: {prompts: [{name: said, version: ~2.1}]}
"""
STACKED = "job: {name: stacked, stack: twice, stack_version: ^1, input: {rows: [{text: good}]}}"


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    prompt(made, "said", "1.0.0", "Say {{ text }}")
    prompt(made, "said", "2.1.0", "Two {{ text }}")
    prompt(made, "latest", "1.0.0", "Newest {{ text }}")
    stack(made, "1.0.0", "Stacked {{ text }}")
    (made.home / "models.yaml").write_text("careful: {provider: simulated, model: large}\n")
    made.write("locked.yaml", DOCUMENT)
    made.write("stacked.yaml", STACKED)
    return made


def prompt(house: House, name: str, version: str, text: str) -> Path:
    path = house.home / "prompts" / name / f"{version}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"text": text}))
    return path


def stack(house: House, version: str, text: str) -> Path:
    path = house.home / "stacks" / "twice" / f"{version}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"prompts": [{"name": "asked", "model": "simulated", "text": text}]}))
    return path


def lock(house: House, *arguments: str, name: str = "locked.yaml", code: int = 0) -> str:
    result = house.invoke("lock", name, *arguments)
    assert result.exit_code == code, result.output
    return result.output


def read(house: House, name: str = "locked.yaml", overrides: Overrides = NO_OVERRIDES) -> Job:
    with house.entry.open_services() as services:
        [job] = read_jobs(services, house.folder / name, overrides)
    return job


def texts(job: Job) -> list[str]:
    return [shown_content(step.messages[0].content) for step in job.steps if isinstance(step, PromptStep)]


def test_without_a_lock_a_new_version_is_another_job(house: House) -> None:
    before = read(house)
    prompt(house, "said", "1.1.0", "Newer {{ text }}")
    assert read(house).hash != before.hash


def test_under_a_lock_new_versions_change_nothing(house: House) -> None:
    lock(house)
    before = read(house)
    prompt(house, "said", "1.1.0", "Newer {{ text }}")
    prompt(house, "latest", "9.0.0", "Much newer {{ text }}")
    assert read(house) == before
    assert texts(before) == ["Say {{ text }}", "Newest {{ text }}"]


def test_a_stack_is_locked_too(house: House) -> None:
    lock(house, name="stacked.yaml")
    before = read(house, "stacked.yaml")
    stack(house, "1.5.0", "Newer {{ text }}")
    assert read(house, "stacked.yaml") == before


def test_every_profile_is_locked(house: House) -> None:
    lock(house)
    prompt(house, "said", "2.1.9", "Newer {{ text }}")
    assert texts(read(house, overrides=Overrides(profile="other")))[0] == "Two {{ text }}"


@pytest.mark.parametrize("name", ["locked.yaml", "stacked.yaml"])
def test_a_locked_version_that_says_something_else_is_refused_with_the_way_out(house: House, name: str) -> None:
    lock(house, name=name)
    prompt(house, "said", "1.0.0", "Changed {{ text }}")
    stack(house, "1.0.0", "Changed {{ text }}")
    with pytest.raises(DocumentError, match=r"1\.0\.0 says something else than when it was locked") as caught:
        read(house, name)
    assert caught.value.problems[0].file == f"{name}.lock"
    assert f"llm-jobs lock {name} --update" in str(caught.value)


def test_layout_and_comments_of_a_locked_version_may_change(house: House) -> None:
    lock(house)
    prompt(house, "said", "1.0.0", "").write_text('# the same\ntext: "Say {{ text }}"\n')
    assert texts(read(house))[0] == "Say {{ text }}"


def test_a_locked_version_that_is_gone_is_refused(house: House) -> None:
    lock(house)
    prompt(house, "said", "1.1.0", "Newer {{ text }}")
    (house.home / "prompts/said/1.0.0.yaml").unlink()
    with pytest.raises(DocumentError, match=r"said 1\.0\.0 is locked and cannot be found"):
        read(house)


def test_a_model_that_means_something_else_is_refused(house: House) -> None:
    lock(house)
    (house.home / "models.yaml").write_text("careful: {provider: simulated, model: huge}\n")
    with pytest.raises(DocumentError, match="careful is simulated/huge now, and was locked as simulated/large"):
        read(house)


def test_a_range_that_the_lock_does_not_hold_is_refused(house: House) -> None:
    lock(house)
    house.write("locked.yaml", DOCUMENT.replace("^1.0", "^2"))
    with pytest.raises(DocumentError, match=r"prompt said \^2 is not in the lock"):
        read(house)


def test_a_lock_is_changed_only_when_asked(house: House) -> None:
    lock(house)
    text = (house.folder / "locked.yaml.lock").read_text()
    assert "unchanged" in lock(house)
    prompt(house, "said", "1.1.0", "Newer {{ text }}")
    assert "said ^1.0: 1.0.0 → 1.1.0" in lock(house, code=2)
    assert (house.folder / "locked.yaml.lock").read_text() == text
    assert "said ^1.0: 1.0.0 → 1.1.0" in lock(house, "--update")
    assert texts(read(house))[0] == "Newer {{ text }}"


def test_the_same_document_has_the_same_lock(house: House) -> None:
    lock(house)
    first = (house.folder / "locked.yaml.lock").read_bytes()
    (house.folder / "locked.yaml.lock").unlink()
    lock(house)
    assert (house.folder / "locked.yaml.lock").read_bytes() == first


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pair.json", '{"configuration": {"model": "careful"}, "prompt": "Say it."}'),
        (
            "batch.jsonl",
            '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "careful", '
            '"messages": [{"role": "user", "content": "Say it."}]}}',
        ),
    ],
)
def test_documents_without_ranges_are_locked_to_their_models(house: House, name: str, text: str) -> None:
    house.write(name, text)
    lock(house, name=name)
    before = read(house, name)
    (house.home / "models.yaml").write_text("careful: {provider: simulated, model: huge}\n")
    with pytest.raises(DocumentError, match="careful is simulated/huge now"):
        read(house, name)
    assert before.models[0].upstream == "large"


def test_a_lock_s_facts_are_told_as_json(house: House) -> None:
    told = json.loads(lock(house, "--json"))
    assert {key: told[key] for key in ("prompts", "stacks", "models", "changes", "written")} == {
        "prompts": 3,
        "stacks": 0,
        "models": 2,
        "changes": [],
        "written": True,
    }


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ("{}", "lock", "the key 'lock' is missing"),
        ("lock: 2", "lock", "is not one of the values"),
        ("lock: 1\npromts: []", "promts", "unknown key 'promts'"),
        ("lock: 1\nprompts: [{name: a, asked: ^1, version: 1.0.0, digest: abc}]", "prompts[0].digest", "pattern"),
        ("lock: 1\nmodels: [{name: a}]", "models[0].provider", "is missing"),
        ("lock: [", None, "not YAML"),
    ],
)
def test_a_file_that_is_no_lock_is_refused_and_not_passed_over(
    house: House, text: str, key: str | None, what: str
) -> None:
    (house.folder / "locked.yaml.lock").write_text(text)
    with pytest.raises(DocumentError) as caught:
        read(house)
    problem = next(each for each in caught.value.problems if what in each.what)
    assert (problem.file, problem.key) == ("locked.yaml.lock", key)


def test_a_lock_goes_to_the_inbox_with_its_document_and_holds_there(house: House) -> None:
    lock(house)
    expected = read(house)
    assert house.invoke("submit", "locked.yaml").exit_code == 0
    prompt(house, "said", "1.1.0", "Newer {{ text }}")
    with house.entry.open_services() as services:
        in_a_minute = SetClock(services.clock.now_ns() + 60_000_000_000)
        report = intake(replace(services, clock=in_a_minute), budget_s=60)
        assert [each.job_hash for each in report.accepted] == [expected.hash]
        assert list(services.settings.inbox.iterdir()) == []


def test_a_job_that_waits_for_another_keeps_its_lock_while_it_waits(house: House) -> None:
    document = DOCUMENT.replace("name: locked", "name: locked\n  depends_on: first")
    house.write("locked.yaml", document)
    lock(house)
    with opened(house.folder) as late:
        late.keep("inbox", "locked.yaml.lock", (house.folder / "locked.yaml.lock").read_text())
        assert [each.name for each in late.drop("locked.yaml", document).deferred] == ["locked"]
        assert list(late.services.settings.inbox.iterdir()) == []
        prompt(house, "said", "1.1.0", "Newer {{ text }}")
        late.drop("first.yaml", written("first"))
        late.run(*(job.job_hash for job in launchable(late.services).jobs))
        release(late.services)
        [waited] = launchable(late.services).jobs
        assert texts(job_from_json(find_job(late.services, waited.job_hash).job))[0] == "Say {{ text }}"


def test_a_job_that_is_asked_for_by_its_name_is_read_under_the_lock_that_it_was_submitted_with(house: House) -> None:
    lock(house)
    house.accept(house.folder / "locked.yaml")
    for name in ("locked.yaml", "locked.yaml.lock"):
        (house.folder / name).unlink()
    prompt(house, "said", "1.1.0", "Newer {{ text }}")
    with house.entry.open_services() as services:
        [again] = read_named(services, "locked", Overrides(parameters={"temperature": 1})).jobs
    assert texts(again)[0] == "Say {{ text }}"


def test_the_executor_runs_under_the_lock(house: House) -> None:
    lock(house, name="stacked.yaml")
    stack(house, "1.5.0", "Newer {{ text }}")
    result = JobExecutor(house.folder / "stacked.yaml", home=house.home).run()
    assert result.job_hash == read(house, "stacked.yaml").hash
