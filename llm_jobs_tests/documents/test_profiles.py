"""What a profile changes, and what it leaves."""

from __future__ import annotations

from typing import Any

import pytest

from llm_jobs.documents.choices import read_parameters
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import LibraryRef, ParsedDocument, ParsedPrompt, every_step
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError

JOB = """\
job:
  name: analysis
  model: base
  labels: {team: nlp}
  budget: {max_cost_usd: 5}
  input: {source: database, connection: live, query: SELECT 1, batch_size: 7}
  execution: {concurrency: 10, timeout: 30}
  error_handling:
    on_prompt_failure: {max_retries: 5}
    on_input_error: {strategy: fail}
  output: {destination: database, connection: live, table: results}
  schedule: {cron: 0 9 * * *, timezone: UTC}
  on_status: {truncated: {ask_again: {max_tokens: 2x}}, empty: give_up}
  steps:
    - {name: first, prompt: asked, temperature: 0.2, on_status: {empty: ask_again}}
    - name: choices
      first_of:
        - {name: one, prompt: asked, model: m1, parameters: {tone: dry}}
        - {name: two, prompt: asked, fallback: [m2, m3]}
    - {name: shown, task: debug_log, inputs: {text: "{{ first }}"}}
    - {name: last, reduce: {by: [team], aggregate: {rows: count}}}
  profiles:
PROFILES
"""


def parsed(profile: str, *parameters: str, job: str = JOB, **options: Any) -> ParsedDocument:
    lines = "\n".join(f"      {line}" for line in profile.splitlines())
    text = job.replace("PROFILES", f"    it:\n{lines}\n")
    [document] = parse_document(
        "a.yaml", text.encode(), profile="it", parameters=read_parameters(parameters), **options
    )
    return document


def prompts(document: ParsedDocument) -> dict[str, ParsedPrompt]:
    return {step.name: step for step in every_step(document.steps) if isinstance(step, ParsedPrompt)}


def test_a_profile_s_model_answers_every_prompt_of_the_graph() -> None:
    found = prompts(parsed("model: gpt-4"))
    assert {name: (each.model, each.choice) for name, each in found.items()} == dict.fromkeys(
        ("first", "one", "two"), ("gpt-4", None)
    )


def test_a_profile_s_list_of_models_takes_the_place_of_what_the_prompts_say() -> None:
    found = prompts(parsed("fallback: [a, b]"))
    assert {each.choice and each.choice.models for each in found.values()} == {(("a", None), ("b", None))}


def test_parameters_reach_every_prompt_and_no_task() -> None:
    document = parsed("temperature: 1\nmax_tokens: 9\nparameters: {tone: warm, seed: 3}")
    shared = {"temperature": 1, "max_tokens": 9, "tone": "warm", "seed": 3}
    assert {name: each.parameters for name, each in prompts(document).items()} == dict.fromkeys(
        ("first", "one", "two"), shared
    )


def test_a_profile_changes_one_step_by_its_name() -> None:
    found = prompts(parsed("model: gpt-4\nsteps:\n  - {name: one, model: tiny, parameters: {tone: warm}}"))
    assert {name: each.model for name, each in found.items()} == {"first": "gpt-4", "one": "tiny", "two": "gpt-4"}
    assert found["one"].parameters == {"tone": "warm"}


def test_param_stands_over_the_profile() -> None:
    found = prompts(parsed("temperature: 1\nparameters: {tone: warm}", "temperature=0.5", "tone=cold"))
    assert all(each.parameters == {"temperature": 0.5, "tone": "cold"} for each in found.values())


def test_sections_merge_key_by_key_at_any_depth() -> None:
    policy = parsed("execution: {timeout: 5}\nerror_handling: {on_prompt_failure: {backoff: exponential}}").policy
    assert (policy.concurrency, policy.timeout_s, policy.max_retries) == (10, 5, 5)
    assert policy.on_input_error == "fail"


@pytest.mark.parametrize(
    ("profile", "shown", "gone"),
    [
        ("input: {query: SELECT 2}", "live", "SELECT 1"),
        ("input: {connection: test}", "SELECT 1", "live"),
        ("input: {rows: [{x: 1}]}", "{'x': 1}", "SELECT 1"),
        ("batch_size: 500", "500", "batch_size=7"),
    ],
)
def test_an_input_is_changed_or_replaced(profile: str, shown: str, gone: str) -> None:
    table = repr(parsed(profile).input)
    assert shown in table
    assert gone not in table


def test_another_connection_keeps_the_destination() -> None:
    [output] = parsed("output: {connection: test}").policy.outputs
    assert "'test'" in repr(output)
    assert "'results'" in repr(output)


def test_another_destination_is_another_altogether() -> None:
    [output] = parsed("output: {destination: file, path: out/dev.csv}").policy.outputs
    assert "dev.csv" in repr(output)
    assert "results" not in repr(output)


def test_null_takes_a_section_away() -> None:
    policy = parsed("output: null\nschedule: null\nbudget: null").policy
    assert (policy.outputs, policy.schedule, policy.budget) == ((), None, None)


def test_rules_are_replaced_status_by_status() -> None:
    rules = parsed("on_status: {empty: give_up, refused: ask_again}").policy.on_status
    assert {name: sorted(each) for name, each in rules.items()}["first"] == ["empty", "refused", "truncated"]
    assert rules["first"]["empty"] == ()


def test_null_takes_one_rule_away_or_all() -> None:
    one = parsed("on_status: {empty: null}").policy.on_status
    assert {name: sorted(rules) for name, rules in one.items()}["first"] == ["truncated"]
    assert parsed("on_status: null").policy.on_status == {}
    assert parsed("mode: null").policy.mode == "online"


def test_what_others_added_to_jobs_may_stand_in_a_profile() -> None:
    document = parsed("logging: {level: DEBUG}\ndescription: tried\nversion: 2.0.0\npriority: hot\nlabels: {x: y}")
    assert (document.policy.description, document.policy.version, document.policy.priority) == ("tried", "2.0.0", "hot")
    assert document.policy.labels == {"team": "nlp", "x": "y"}
    assert "debug" in repr(document.policy.watching)


PHASES = (
    "job: {name: p, phases: [{name: map, prompt: m, parallel: true}, {name: reduce, prompt: r}], profiles: {it: X}}"
)


def test_phases_take_models_and_parameters_too() -> None:
    text = PHASES.replace("X", "{model: gpt-4, temperature: 1}")
    [document] = parse_document("p.yaml", text.encode(), profile="it")
    assert {each.model for each in prompts(document).values()} == {"gpt-4"}
    assert all(each.parameters == {"temperature": 1} for each in prompts(document).values())


def test_rules_of_the_job_and_of_a_profile_hold_for_phases() -> None:
    text = PHASES.replace("X", "{on_status: {empty: ask_again}}")
    text = text.replace("name: p,", "name: p, on_status: {refused: ask_again},")
    [document] = parse_document("p.yaml", text.encode(), profile="it")
    assert {name: set(rules) for name, rules in document.policy.on_status.items()} == {
        "map": {"empty", "refused"},
        "reduce": {"empty", "refused"},
    }


@pytest.mark.parametrize(
    ("name", "model", "size"),
    [("development", "gpt-3.5-turbo", 10), ("production", "gpt-4", 100), ("cost_optimized", "gpt-3.5-turbo", 500)],
)
def test_the_reference_s_profiles_are_chosen_by_name(name: str, model: str, size: JsonValue) -> None:
    text = """\
job:
  name: analysis_job

  profiles:
    development:
      model: gpt-3.5-turbo
      batch_size: 10

    production:
      model: gpt-4
      batch_size: 100

    cost_optimized:
      model: gpt-3.5-turbo
      batch_size: 500
  input: {source: database, query: SELECT * FROM reviews}
  prompts:
    - name: analyzer
"""
    [document] = parse_document("a.yaml", text.encode(), profile=name)
    assert prompts(document)["analyzer"].model == model
    assert f"batch_size={size}" in repr(document.input)


def test_a_job_that_says_no_steps_asks_the_prompt_of_its_name_and_takes_profiles_and_parameters() -> None:
    text = "job: {name: analysis_job, profiles: {production: {model: gpt-4, batch_size: 100, max_tokens: 9}}}"
    [document] = parse_document("a.yaml", text.encode(), profile="production", parameters={"temperature": 0.5})
    [step] = prompts(document).values()
    assert step.library == LibraryRef(name="analysis_job")
    assert (step.model, step.parameters) == ("gpt-4", {"max_tokens": 9, "temperature": 0.5})


@pytest.mark.parametrize("job", ["{name: two words}", "{name: a, prompts: []}"])
def test_a_job_whose_name_names_no_prompt_or_whose_steps_are_none_asks_nothing(job: str) -> None:
    with pytest.raises(DocumentError, match="asks nothing"):
        parse_document("a.yaml", f"job: {job}".encode())
