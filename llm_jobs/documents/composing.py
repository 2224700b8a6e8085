"""From the text of a YAML job or a template to one job without choices left: template, stack, profile and `--param` in.

Later ones stand over earlier ones: the stack, the job, the profile, then `--param`. A job that says no steps asks the
library's prompt of its own name. What comes out is a source like any other, whose parts know where they were written;
the formats read it as if somebody had written it so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from llm_jobs.documents.asked import LISTS, asking, declared, with_parameter
from llm_jobs.documents.checks import Checks
from llm_jobs.documents.choices import REQUEST_PARAMETERS, Choices, unknown_parameters
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.models import JobDocument
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.parts import Part, part_of, said
from llm_jobs.documents.profiles import STACK_KEYS, check_keys, chosen_profile, profile_names, with_profile
from llm_jobs.documents.stacks import check_single, with_stack
from llm_jobs.documents.templates import fill_template, is_template
from llm_jobs.documents.text import NO_CHILDREN, KeyPath, Lines, Source, dotted
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.documents.variables import Variables
from llm_jobs.errors import NotFound, Problem, SetupError

_JOB: KeyPath = ("job",)
_PROMPT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ONE_ROW = 1  # of a table in line is enough to check a profile that was not chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """The job as one source, and the choices that are left to make: input, epoch and models."""

    source: Source
    choices: Choices
    profile_problems: tuple[Problem, ...] = ()  # of profiles that were not chosen


def compose(source: Source, choices: Choices) -> Composed:
    """The job document that `source`, a job or a template, is under `choices`. Raises DocumentError or NotFound."""
    parameters = dict(choices.parameters)
    if is_template(source.value):
        filled = fill_template(source, parameters, _variables(choices), job_name=choices.job_name)
        source, parameters = filled.source, dict(filled.rest)
    whole = part_of(source)
    job = whole.get("job")
    left = replace(choices, profile=None, parameters={}, job_name=None)
    if job is None or not isinstance(job.value, dict):
        return Composed(source=source, choices=left)
    if job.lines.origin is None:  # said of the job, it holds wherever a part of it goes
        job = job.from_(Origin(kind="document", file=source.file, path=_JOB))
    checks = Checks(source)
    check_keys(job, _JOB, checks)
    profile = chosen_profile(job, choices.profile, _JOB, checks)
    raise_if_any(checks.problems)
    base = job.without("profiles")
    made = _made(base, profile, choices.profile, parameters, choices, checks)
    raise_if_any(checks.problems)
    others = tuple(_others(source, job, choices))
    return Composed(source=_whole(source, whole, made), choices=left, profile_problems=others)


def _made(
    job: Part,
    profile: Part | None,
    name: str | None,
    parameters: Mapping[str, JsonValue],
    choices: Choices,
    checks: Checks,
) -> Part:
    """The job with its stack, its profile and the parameters of the command line."""
    stacked = [] if profile is None else [(key, part) for key in STACK_KEYS if (part := profile.get(key))]
    for key, part in stacked:
        job = job.put((key,), part if (here := job.get(key)) is None else here.merged(part))
    taken: frozenset[str] = frozenset()
    if any(job.get(key) for key in STACK_KEYS):
        job, taken = _stacked(job, parameters, choices, checks)
    elif not any(job.get(key) for key in LISTS):
        job = _of_its_name(job, checks.source)
    stated = [each for _, step in asking(job) for each in declared(step)]
    if profile is not None:
        job = with_profile(job, profile.without(*STACK_KEYS), (*_JOB, "profiles", str(name)), checks)
        stated += [each for _, step in asking(job) for each in declared(step)]
    given = {each: value for each, value in parameters.items() if each not in taken}
    checks.problems += unknown_parameters(checks.source.file, stated, given)
    return _with_options(job, given, checks.source)


def _of_its_name(job: Part, source: Source) -> Part:
    """A job that says no steps asks the library's prompt of its own name, where a prompt can be named so."""
    name = job.get("name")
    if name is None or not isinstance(name.value, str) or not _PROMPT_NAME.fullmatch(name.value):
        return job
    place = source.place_of(_JOB)
    at = (*place.path, "prompts")
    origin = Origin(kind="default", file=place.file, path=at, name="prompt: the job's name")
    prompts = Part([{"name": name.value}], Lines(job.lines.line, NO_CHILDREN, origin))
    return job.put(("prompts",), prompts)


def _with_options(job: Part, given: Mapping[str, JsonValue], source: Source) -> Part:
    """`--param`: a parameter of requests in every prompt, any other where a prompt states it."""
    for at, step in asking(job):
        stated = declared(step)
        for name, value in given.items():
            if name in REQUEST_PARAMETERS or name in stated:
                origin = Origin(kind="option", file=source.file, path=(), name=f"--param {name}")
                job = with_parameter(job, at, name, said(value, origin))
    return job


def _stacked(
    job: Part, parameters: Mapping[str, JsonValue], choices: Choices, checks: Checks
) -> tuple[Part, frozenset[str]]:
    name, version = (None if (part := job.get(key)) is None else part.value for key in STACK_KEYS[:2])
    for key, value in (("stack", name), ("stack_version", version)):
        if not isinstance(value, str) and not (value is None and key == "stack_version"):
            _refuse_stack(("job", key), value, checks)
    check_single(job, checks)
    if not isinstance(name, str) or not isinstance(version, str | None) or checks.problems:
        return job, frozenset()
    if choices.stacks is None:
        raise SetupError(f"the stack {name} cannot be read here: nobody said where stacks are")
    try:
        text = choices.stacks(name, version)
    except NotFound as error:
        checks.refuse(
            ("job", "stack"), str(error), rule="a job's stack is one of the stacks folder", remedy="choose one"
        )
        return job, frozenset()
    stacked = with_stack(job, text, parameters, _variables(choices), checks)
    return stacked.job, stacked.taken


def _refuse_stack(at: KeyPath, value: JsonValue, checks: Checks) -> None:
    checks.refuse(
        at,
        f"{at[-1]} is missing" if value is None else f"{at[-1]} is no text",
        value=value,
        rule="a stack is named, and its version is text: 1.2.0, ^1.2, ~1.2 or latest",
        remedy="write `stack: NAME`" if value is None else "put it in quotes",
    )


def _others(source: Source, job: Part, choices: Choices) -> list[Problem]:
    """What is wrong with the profiles that were not chosen."""
    problems: list[Problem] = []
    light = _light(job.without("profiles"))
    for name in profile_names(job):
        if name == choices.profile:
            continue
        checks = Checks(source)
        profile = chosen_profile(job, name, _JOB, checks)
        assert profile is not None
        made = _made(light, profile, name, {}, choices, checks)
        whole = _whole(source, part_of(source), made)
        _, found = validate(JobDocument, whole, whole.value)
        written = whole.place_of(_JOB)
        prefix = f"{dotted(written.path)}.profiles"
        problems += [each for each in (*checks.problems, *found) if (each.key or "").startswith(prefix)]
    return list(dict.fromkeys(problems))


def _light(job: Part) -> Part:
    """The job with the first row of a table in line."""
    rows = job.at(("input", "rows"))
    if rows is None or not isinstance(rows.value, list):
        return job
    return job.put(("input", "rows"), rows.holding(rows.value[:_ONE_ROW]))


def _whole(source: Source, whole: Part, job: Part) -> Source:
    made = whole.put(_JOB, job)
    return Source(source.file, made.value, made.lines)


def _variables(choices: Choices) -> Variables:
    return Variables(choices.variables, choices.environment)
