"""Profiles: what a document says otherwise under a name, merged into the job before it is read.

A profile may hold every section of a job, and in short `model`, `models`, `fallback`, `temperature`, `max_tokens`,
`parameters`, `mode` and `on_status` for all that asks, and `batch_size` for the input. Sections merge key by key, lists
and values are replaced, null takes a key away. `prompts`, `steps` and `phases` change the step of the same name.
Invariant: a part that a profile changed says so by its origin.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents.asked import LISTS, OWN, asking, every_step, with_parameter
from llm_jobs.documents.checks import Checks
from llm_jobs.documents.models import JobModel
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.parts import Part
from llm_jobs.documents.text import KeyPath
from llm_jobs.documents.validation import did_you_mean

STACK_KEYS = ("stack", "stack_version", "stack_parameters")

_MODELS = ("model", "models", "fallback")
SHORT = (*OWN, "parameters", "batch_size")
NOT_IN_PROFILES = frozenset({"name", "profiles"})
# What says which table or destination is meant; another of them means another one altogether.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "input": ("rows", "path", "query", "endpoint"),
    "output": ("destination", "path", "table", "endpoint"),
}
_WHOLE = frozenset({"rows", "path", "destination"})


def chosen_profile(job: Part, name: str | None, at: KeyPath, checks: Checks) -> Part | None:
    """The profile of that name, with its origin. `at`: where the job stands."""
    if name is None:
        return None
    profile = _all(job).get(name)
    if profile is None:
        known = list(_all(job))
        checks.refuse(
            (*at, "profiles"),
            f"no profile {name!r}",
            rule=f"known here: {', '.join(known) or 'none'}",
            remedy=did_you_mean(name, known, otherwise="choose one of these, or add it under job.profiles"),
        )
        return None
    place = checks.source.place_of((*at, "profiles", name))
    return profile.from_(Origin(kind="profile", file=place.file, path=place.path, name=name))


def profile_names(job: Part) -> list[str]:
    return list(_all(job))


def check_keys(job: Part, at: KeyPath, checks: Checks) -> None:
    """Refuse what is no key of a profile, in all of them."""
    stated = job.get("profiles")
    if stated is not None and not isinstance(stated.value, dict):
        _refuse_shape((*at, "profiles"), "profiles are", checks)
    known = [key for key in JobModel.model_fields if key not in NOT_IN_PROFILES] + list(SHORT)
    for name, profile in _all(job).items():
        if not isinstance(profile.value, dict):
            _refuse_shape((*at, "profiles", name), "the profile is", checks)
        for key, part in profile.entries():
            if key in LISTS and not isinstance(part.value, list | None):
                _refuse_list((*at, "profiles", name, key), key, checks)
            if key not in known:
                checks.refuse(
                    (*at, "profiles", name, key),
                    f"unknown key {key!r}",
                    rule=f"known here: {', '.join(known)}",
                    remedy="remove it"
                    if key in NOT_IN_PROFILES
                    else did_you_mean(key, known, otherwise="remove it or use one of these"),
                )


def with_profile(job: Part, profile: Part, at: KeyPath, checks: Checks) -> Part:
    """The job as the profile, which stands at `at`, changes it."""
    if any(profile.get(key) is not None for key in _MODELS):
        job = _unsaid(job, _MODELS).without(*_MODELS)
    for key, part in profile.entries():
        if key in _MODELS:
            job = job if part.value is None else job.put((key,), part)
        elif key in OWN:
            job = _everywhere(job, key, part)
        elif key == "parameters":
            for name, value in part.entries():
                job = _everywhere(job, name, value) if not (name in OWN and profile.get(name)) else job
        elif key == "batch_size":
            job = job.put(("input", key), part)
        elif key == "mode":
            job = _unsaid(job, (key,)).without(key)
            job = job if part.value is None else job.put((key,), part)
        elif key == "on_status" and part.value is None:
            job = _unsaid(job, (key,)).without(key)
        elif key == "on_status":
            job = _with_rules(job, part)
        elif key not in LISTS and key not in NOT_IN_PROFILES:
            job = _with_section(job, key, part)
    for key in LISTS:
        if listed := profile.get(key):
            job = _with_steps(job, listed, (*at, key), checks)
    return job


def _all(job: Part) -> dict[str, Part]:
    profiles = job.get("profiles")
    return {} if profiles is None else dict(profiles.entries())


def _refuse_shape(at: KeyPath, what: str, checks: Checks) -> None:
    checks.refuse(at, f"{what} no mapping", rule="a profile holds keys of a job", remedy="write `key: value`")


def _refuse_list(at: KeyPath, key: str, checks: Checks) -> None:
    checks.refuse(at, f"{key} are no list", rule="a profile lists the steps that it changes", remedy="write a list")


def _unsaid(job: Part, keys: tuple[str, ...]) -> Part:
    """The job whose steps say none of `keys`."""
    for at, step in asking(job):
        job = job.put(at, step.without(*keys))
    return job


def _everywhere(job: Part, name: str, part: Part) -> Part:
    for at, _ in asking(job):
        job = with_parameter(job, at, name, part)
    return job


def _with_rules(job: Part, rules: Part) -> Part:
    """The profile's rules over the job's and over those of each step, status by status."""
    own = [at for at, step in asking(job) if step.get("on_status") is not None]
    for at in [(), *own]:
        for status, rule in rules.entries():
            here = (*at, "on_status")
            stated = job.at(here)
            if rule.value is not None:
                job = job.put((*here, status), rule)
            elif stated is not None:
                job = job.put(here, stated.without(status))
    return job


def _with_section(job: Part, key: str, part: Part) -> Part:
    if part.value is None:
        return job.without(key)
    here = job.get(key)
    if here is None or (key in _PLACES and _is_another(here, part, _PLACES[key])):
        return job.put((key,), part)
    return job.put((key,), here.merged(part))


def _is_another(here: Part, part: Part, places: tuple[str, ...]) -> bool:
    named = [place for place in places if part.get(place) is not None]
    return any(place in _WHOLE or here.get(place) is None for place in named)


def _with_steps(job: Part, listed: Part, at: KeyPath, checks: Checks) -> Part:
    for index, change in listed.members():
        steps = {name: (here, step) for here, step in every_step(job) if (name := _name(step)) is not None}
        named = steps.get(_name(change) or "")
        if named is None:
            _refuse_step((*at, index), change, list(steps), checks)
        else:
            job = job.put(named[0], named[1].merged(change.without("name")))
    return job


def _name(step: Part) -> str | None:
    name = step.get("name")
    return name.value if name is not None and isinstance(name.value, str) else None


def _refuse_step(at: KeyPath, change: Part, known: list[str], checks: Checks) -> None:
    name = change.get("name")
    checks.refuse(
        at,
        "the profile changes a step that the job has not" if name else "the profile changes a step without a name",
        value=None if name is None else name.value,
        rule=f"steps of the job: {', '.join(known) or 'none'}",
        remedy=did_you_mean(str(name.value), known, otherwise="name one of these") if name else "write its `name`",
    )
