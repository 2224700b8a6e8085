"""From the sections that say when a job starts to its LaunchRules. Never identity."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.launch_rules import DataAvailable, LaunchRules, TimeWindow, Trigger
from llm_jobs.documents.models import JobModel
from llm_jobs.documents.sql_text import is_one_statement
from llm_jobs.documents.text import KeyPath
from llm_jobs.documents.triggers import ConditionModel, TriggerModel

DEFAULT_CONNECTION = "default"
_DAY_S = 24 * 3600
_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?")
_ENDPOINT = re.compile(r"/[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*")
# The keys of each type, those that it needs first.
_Keys = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
TRIGGER_KEYS: _Keys = {"file_created": (("path",), ()), "webhook": (("endpoint",), ())}
CONDITION_KEYS: _Keys = {
    "data_available": (("check",), ("threshold", "connection")),
    "time_window": (("start", "end"), ("timezone",)),
}


def launch_rules_of(job: JobModel, checks: Checks) -> LaunchRules:
    """When the job starts, and what starts it."""
    zone = job.schedule.timezone if job.schedule is not None else "UTC"
    triggers = [_trigger(trigger, index, checks) for index, trigger in enumerate(job.triggers or ())]
    windows: list[TimeWindow] = []
    data: list[DataAvailable] = []
    for index, condition in enumerate(job.conditions or ()):
        at = ("job", "conditions", index)
        if _has_its_keys(condition, CONDITION_KEYS, at, checks):
            if condition.type == "time_window":
                windows += _window(condition, zone, at, checks)
            else:
                data.append(_data(condition, at, checks))
    return LaunchRules(
        triggers=tuple(trigger for trigger in triggers if trigger is not None),
        windows=tuple(windows),
        data=tuple(data),
        depends_on=_needed(job, checks),
        on_partial=job.on_partial or "wait",
    )


def _trigger(trigger: TriggerModel, index: int, checks: Checks) -> Trigger | None:
    at = ("job", "triggers", index)
    if not _has_its_keys(trigger, TRIGGER_KEYS, at, checks):
        return None
    if trigger.path is not None:
        _check_glob(trigger.path, (*at, "path"), checks)
        return Trigger(type="file_created", at=trigger.path)
    endpoint = trigger.endpoint or ""
    if not _ENDPOINT.fullmatch(endpoint) or ".." in endpoint:
        checks.refuse(
            (*at, "endpoint"),
            "the endpoint is no path",
            value=endpoint,
            rule="a path below the service's address: a slash, then letters, digits, . _ ~ - and slashes",
            remedy="write it as /trigger/NAME",
        )
    return Trigger(type="webhook", at=endpoint)


def _check_glob(path: str, at: KeyPath, checks: Checks) -> None:
    if "://" in path:
        what, remedy = "files behind URLs cannot be watched", "name a folder that this machine sees"
    elif ".." in path.split("/") or "\0" in path or not path.strip("/"):
        what, remedy = "the path cannot be watched", "write a glob such as incoming/*.json, without `..`"
    else:
        return
    checks.refuse(at, what, value=path, rule="a trigger watches files of the allowed folders", remedy=remedy)


def _has_its_keys(
    model: TriggerModel | ConditionModel,
    keys: _Keys,
    at: KeyPath,
    checks: Checks,
) -> bool:
    """Are the keys there that the type needs, and none that it does not know?"""
    needed, optional = keys[model.type]
    rule = f"{model.type} has {', '.join((*needed, *optional))}"
    missing = [key for key in needed if getattr(model, key) is None]
    foreign = [key for key in type(model).model_fields if key in model.model_fields_set - {"type", *needed, *optional}]
    for key in missing:
        checks.refuse((*at, "type"), f"{model.type} lacks {key!r}", rule=rule, remedy=f"add `{key}:`")
    for key in foreign:
        checks.refuse((*at, key), f"{key!r} is said of {model.type}", rule=rule, remedy="remove it, or change `type`")
    return not missing and not foreign


def _window(condition: ConditionModel, zone: str, at: KeyPath, checks: Checks) -> Sequence[TimeWindow]:
    start_s, end_s = (_seconds(str(getattr(condition, key)), (*at, key), checks) for key in ("start", "end"))
    if start_s is None or end_s is None:
        return []
    if start_s in (end_s, _DAY_S):
        checks.refuse(
            (*at, "end" if start_s == end_s else "start"),
            "the window has no length" if start_s == end_s else "no window begins at the end of the day",
            rule="a window reaches from its start to its end, over midnight where the end is earlier",
            remedy="write another time, or remove the condition for the whole day",
        )
        return []
    return [TimeWindow(start_s=start_s, end_s=end_s, timezone=condition.timezone or zone)]


def _seconds(text: str, at: KeyPath, checks: Checks) -> int | None:
    """Seconds since local midnight."""
    match = _TIME.fullmatch(text)
    seconds = None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0)
    if seconds is None or seconds > _DAY_S:
        checks.refuse(
            at,
            "the time is no time of day",
            value=text,
            rule="hours and minutes, from 00:00 to 24:00",
            remedy='write it in quotes, as in "09:00"',
        )
        return None
    return seconds


def _data(condition: ConditionModel, at: KeyPath, checks: Checks) -> DataAvailable:
    check = (condition.check or "").strip().removesuffix(";").rstrip()
    if not is_one_statement(check):
        checks.refuse(
            (*at, "check"),
            "the check is not one query",
            value=condition.check,
            rule="one SELECT, whose first value is compared with the threshold",
            remedy='write "SELECT COUNT(*) FROM …"',
        )
    return DataAvailable(
        check=check,
        threshold=1 if condition.threshold is None else condition.threshold,
        connection=condition.connection or DEFAULT_CONNECTION,
    )


def _needed(job: JobModel, checks: Checks) -> tuple[str, ...]:
    """The jobs that come before; the one whose result is the table is one of them."""
    names = job.depends_on or []
    table = job.input.result_of if job.input is not None else None
    if table == job.name:
        checks.refuse(
            ("job", "input", "result_of"),
            "the table of the job is its own result",
            rule="a job reads what another made",
            remedy="name another job",
        )
    if job.on_partial is not None and not names and table is None:
        checks.refuse(
            ("job", "on_partial"),
            "on_partial is said of a job that depends on none",
            rule="it says what a job does when one that it depends on ended with failed rows",
            remedy="remove it, or add `depends_on:`",
        )
    for index, name in enumerate(names):
        twice = name in names[:index]
        if name == job.name or twice:
            checks.refuse(
                ("job", "depends_on", index),
                f"{name} is named twice" if twice else f"the job depends on itself: {name} → {name}",
                rule="a job depends on others, each named once",
                remedy="remove it",
            )
    return tuple(dict.fromkeys([*names, *([table] if table else [])]))
