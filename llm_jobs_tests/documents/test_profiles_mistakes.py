"""Each mistake in a profile: its line, key, reason and remedy, whether the profile is chosen or not."""

from __future__ import annotations

import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, Problem

JOB = """\
job:
  name: reviews
  model: m
  input: {rows: [{id: 1, text: good}, {id: 2, text: bad}]}
  execution: {timeout: 30}
  prompts:
    - {name: said, text: "Say {{ text }}"}
  profiles:
    good: {temperature: 0}
    bad: PROFILE
"""


def problems_of(profile: str, chosen: str | None) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parse_document("r.yaml", JOB.replace("PROFILE", profile).encode(), profile=chosen)
    return caught.value.problems


MISTAKES = [
    ("{modell: m}", "job.profiles.bad.modell", "unknown key 'modell'", "did you mean 'model'"),
    ("{name: other}", "job.profiles.bad.name", "unknown key 'name'", "remove it"),
    ("{profiles: {}}", "job.profiles.bad.profiles", "unknown key 'profiles'", "remove it"),
    ("fast", "job.profiles.bad", "is no mapping", "key: value"),
    ("[a]", "job.profiles.bad", "is no mapping", "key: value"),
    ("{temperature: hot}", "job.profiles.bad.temperature", "should be a number", "without quotes"),
    ("{temperature: -1}", "job.profiles.bad.temperature", "greater than or equal to 0", "larger"),
    ("{max_tokens: 0}", "job.profiles.bad.max_tokens", "greater than or equal to 1", "larger"),
    ("{model: 4}", "job.profiles.bad.model", "should be text", "quotes"),
    ("{execution: {timout: 3}}", "job.profiles.bad.execution.timout", "unknown key 'timout'", "'timeout'"),
    ("{execution: {timeout: -3}}", "job.profiles.bad.execution.timeout", "greater than 0", "larger"),
    ("{execution: fast}", "job.profiles.bad.execution", "should be a mapping", "mapping"),
    ("{priority: urgent}", "job.profiles.bad.priority", "not one of the values", "choose"),
    ("{schedule: {cron: daily}}", "job.profiles.bad.schedule.cron", "1 fields", "five fields"),
    ("{labels: {a: 1}}", "job.profiles.bad.labels.a", "should be text", "quotes"),
    ("{sample: 0}", "job.profiles.bad.sample", "greater than or equal to 1", "larger"),
    ("{mode: later}", "job.profiles.bad.mode", "not one of the values", "choose"),
    ("{on_status: {empty: again}}", "job.profiles.bad.on_status.empty", "again is no rule", "write one of give_up"),
    ("{prompts: [{name: sad, model: m}]}", "job.profiles.bad.prompts[0]", "a step that the job has not", "'said'"),
    ("{prompts: [{model: m}]}", "job.profiles.bad.prompts[0]", "a step without a name", "write its `name`"),
    ("{prompts: [{name: said, modell: m}]}", "job.profiles.bad.prompts[0].modell", "unknown key 'modell'", "'model'"),
]


@pytest.mark.parametrize("chosen", ["bad", "good", None])
@pytest.mark.parametrize(("profile", "key", "what", "remedy"), MISTAKES)
def test_a_mistake_in_a_profile_is_told_once_and_at_its_place(
    profile: str, key: str, what: str, remedy: str, chosen: str | None
) -> None:
    [problem] = problems_of(profile, chosen)
    assert (problem.file, problem.line, problem.key) == ("r.yaml", 10, key)
    assert what in problem.what
    assert remedy in str(problem.remedy)


def test_profiles_are_a_mapping() -> None:
    with pytest.raises(DocumentError, match="profiles are no mapping"):
        parse_document("r.yaml", b"job: {name: a, prompts: [{name: b, text: c, model: m}], profiles: [x]}")


def test_a_profile_that_is_not_there_is_told_with_the_nearest() -> None:
    [problem] = problems_of("{temperature: 1}", "goood")
    assert (problem.line, problem.key) == (8, "job.profiles")
    assert (problem.what, problem.remedy) == ("no profile 'goood'", "did you mean 'good'?")


@pytest.mark.parametrize(
    ("profile", "key", "what"),
    [
        ("{parameters: {api_key: sk-1}}", "job.profiles.bad.parameters.api_key", "is a credential"),
        ("{parameters: {messages: []}}", "job.profiles.bad.parameters.messages", "is not a parameter"),
        ("{models: {a: 1}, fallback: [b]}", "job.profiles.bad.fallback", "the model is said twice"),
        ("{input: {path: x.dat}}", "job.profiles.bad.input.path", "does not tell the file's format"),
        ("{model: '${NOT_ALLOWED}'}", "job.profiles.bad.model", "is not allowed in documents"),
        ("{parameters: {tone: '${HOME}'}}", "job.profiles.bad.parameters.tone", "is not filled in here"),
        ("{prompts: [{name: said, api_key: sk-1}]}", "job.profiles.bad.prompts[0].api_key", "a credential stands in"),
    ],
)
def test_what_the_chosen_profile_means_is_checked_where_it_stands(profile: str, key: str, what: str) -> None:
    problem = next(each for each in problems_of(profile, "bad") if what in each.what)
    assert (problem.line, problem.key) == (10, key)
    assert "sk-1" not in str(problem)


@pytest.mark.parametrize(("name", "value"), [("temperature", "hot"), ("max_tokens", -1)])
def test_a_value_of_the_wrong_type_on_the_command_line_is_told_as_such(name: str, value: JsonValue) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document("r.yaml", JOB.replace("PROFILE", "{}").encode(), parameters={name: value})
    [problem] = caught.value.problems
    assert problem.what.startswith(f"--param {name}: {name} ")
    assert (problem.file, problem.line) == ("r.yaml", None)
