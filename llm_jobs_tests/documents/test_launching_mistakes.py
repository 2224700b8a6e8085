"""When a job starts: what the sections mean, and what each mistake in them is answered with."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.documents.job import Input, Job
from llm_jobs.documents.launch_rules import NO_RULES, DataAvailable, LaunchRules, TimeWindow, Trigger
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError

HEAD = "job:\n  name: reviews\n  model: m\n  prompts: [{name: a, text: Hello}]\n"


def rules_of(sections: str) -> LaunchRules:
    (document,) = parse_document("reviews.yaml", (HEAD + sections).encode())
    return document.policy.launch


def test_the_sections_of_the_reference_are_read_as_they_stand() -> None:
    assert rules_of(
        "  triggers:\n    - type: file_created\n      path: /data/input/*.json\n"
        "    - type: webhook\n      endpoint: /trigger/process\n"
        '  conditions:\n    - type: data_available\n      check: "SELECT COUNT(*) FROM new_data"\n'
        '      threshold: 100\n    - type: time_window\n      start: "09:00"\n      end: "17:00"\n'
        "  depends_on: [collect, 0123456789abcdef0123456789abcdef]\n  on_partial: run\n"
    ) == LaunchRules(
        triggers=(
            Trigger(type="file_created", at="/data/input/*.json"),
            Trigger(type="webhook", at="/trigger/process"),
        ),
        windows=(TimeWindow(start_s=9 * 3600, end_s=17 * 3600, timezone="UTC"),),
        data=(DataAvailable(check="SELECT COUNT(*) FROM new_data", threshold=100, connection="default"),),
        depends_on=("collect", "0123456789abcdef0123456789abcdef"),
        on_partial="run",
    )


def test_a_window_is_in_the_zone_that_it_names_or_in_the_schedules() -> None:
    text = '  conditions: [{type: time_window, start: "22:00", end: "06:00:30"%s}]\n'
    scheduled = "  schedule: {cron: 0 9 * * *, timezone: Asia/Tokyo}\n"
    assert rules_of(scheduled + text % "").windows[0].timezone == "Asia/Tokyo"
    assert rules_of(scheduled + text % ", timezone: Europe/Paris").windows[0].timezone == "Europe/Paris"
    assert rules_of(text % "").windows[0] == TimeWindow(start_s=22 * 3600, end_s=6 * 3600 + 30, timezone="UTC")


def test_one_name_stands_for_a_list_and_a_window_may_reach_to_the_end_of_the_day() -> None:
    rules = rules_of('  depends_on: collect\n  conditions: [{type: time_window, start: "18:00", end: "24:00"}]\n')
    assert (rules.depends_on, rules.windows[0].end_s, rules.on_partial) == (("collect",), 86_400, "wait")


def test_a_semicolon_within_a_text_ends_no_query() -> None:
    check = "SELECT COUNT(*) FROM t WHERE state = 'new;seen'"
    rules = rules_of(f'  conditions: [{{type: data_available, check: "{check};"}}]\n')
    assert rules.data[0].check == check


def trigger(members: str) -> str:
    return f"  triggers: [{{{members}}}]\n"


def condition(members: str) -> str:
    return f"  conditions: [{{{members}}}]\n"


MISTAKES = [
    ("  triggers: []\n", "job.triggers", "at least 1 item", "add at least one"),
    ("  triggers: {type: webhook}\n", "job.triggers", "should be a list", "write a list"),
    (trigger("type: file_creatd, path: a/*"), "job.triggers[0].type", "not one of", "did you mean 'file_created'?"),
    (trigger("path: a/*.json"), "job.triggers[0].type", "'type' is missing", "add 'type'"),
    (trigger("type: file_created"), "job.triggers[0].type", "lacks 'path'", "add `path:`"),
    (trigger("type: file_created, pth: a"), "job.triggers[0].pth", "unknown key 'pth'", "did you mean 'path'?"),
    (trigger("type: file_created, path: 7"), "job.triggers[0].path", "should be text", "quotes"),
    (trigger("type: file_created, path: ../a/*"), "job.triggers[0].path", "cannot be watched", "without `..`"),
    (trigger("type: file_created, path: 's3://b/*'"), "job.triggers[0].path", "behind URLs", "name a folder"),
    (trigger("type: webhook"), "job.triggers[0].type", "lacks 'endpoint'", "add `endpoint:`"),
    (trigger("type: webhook, endpoint: /a, path: b"), "job.triggers[0].path", "said of webhook", "remove it"),
    (trigger("type: webhook, endpoint: 'http://x/y'"), "job.triggers[0].endpoint", "no path", "/trigger/NAME"),
    (trigger("type: webhook, endpoint: /a/../b"), "job.triggers[0].endpoint", "no path", "/trigger/NAME"),
    ("  conditions: []\n", "job.conditions", "at least 1 item", "add at least one"),
    (condition("type: data_availble, check: SELECT 1"), "job.conditions[0].type", "not one of", "'data_available'"),
    (condition("type: data_available"), "job.conditions[0].type", "lacks 'check'", "add `check:`"),
    (condition("type: data_available, check: DROP TABLE x"), "job.conditions[0].check", "not one query", "SELECT"),
    (condition("type: data_available, check: SELECT 1; SELECT 2"), "job.conditions[0].check", "not one", "SELECT"),
    (condition("type: data_available, check: SELECT 1, threshold: -1"), "job.conditions[0].threshold", "", "larger"),
    (condition("type: data_available, check: SELECT 1, threshold: '9'"), "job.conditions[0].threshold", "", "quotes"),
    (condition("type: data_available, check: SELECT 1, start: '9'"), "job.conditions[0].start", "said of", "remove"),
    (condition("type: time_window, start: '09:00'"), "job.conditions[0].type", "lacks 'end'", "add `end:`"),
    (condition("type: time_window, start: '9', end: '17:00'"), "job.conditions[0].start", "no time of day", "quotes"),
    (condition("type: time_window, start: '08:00', end: '25:00'"), "job.conditions[0].end", "no time", "quotes"),
    (condition("type: time_window, start: '08:00', end: '24:30'"), "job.conditions[0].end", "no time", "quotes"),
    (condition("type: time_window, start: 900, end: '17:00'"), "job.conditions[0].start", "should be text", "quotes"),
    (condition("type: time_window, start: '09:00', end: '09:00'"), "job.conditions[0].end", "no length", "another"),
    (condition("type: time_window, start: '24:00', end: '09:00'"), "job.conditions[0].start", "end of the day", ""),
    (
        condition("type: time_window, start: '09:00', end: '17:00', timezone: Europe/Pari"),
        "job.conditions[0].timezone",
        "unknown",
        "did you mean 'Europe/Paris'?",
    ),
    (
        condition("type: time_window, start: '09:00', end: '17:00', threshold: 3"),
        "job.conditions[0].threshold",
        "said of time_window",
        "remove it",
    ),
    ("  depends_on: [reviews]\n", "job.depends_on[0]", "reviews → reviews", "remove it"),
    ("  depends_on: [a, b, a]\n", "job.depends_on[2]", "named twice", "remove it"),
    ("  depends_on: ['']\n", "job.depends_on[0]", "at least 1 character", "at least one"),
    ("  depends_on: {a: b}\n", "job.depends_on", "should be a list", "write a list"),
    ("  depends_on: [a]\n  on_partial: rnu\n", "job.on_partial", "not one of", "did you mean 'run'?"),
    ("  on_partial: run\n", "job.on_partial", "depends on none", "depends_on"),
]


@pytest.mark.parametrize(("sections", "key", "what", "remedy"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_a_mistake_is_answered_with_line_key_rule_and_remedy(sections: str, key: str, what: str, remedy: str) -> None:
    with pytest.raises(DocumentError) as caught:
        rules_of(sections)
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == (key, HEAD.count("\n") + sections.count("\n", 0, len(sections) - 1) + 1)
    assert what in problem.what
    assert remedy in (problem.remedy or "")
    assert problem.rule


def test_a_frozen_job_keeps_its_rules_and_one_that_was_frozen_before_has_none() -> None:
    rules = rules_of("  depends_on: [b]\n  on_partial: run\n" + trigger("type: webhook, endpoint: /a"))
    plain = Job(name="a", steps=(), input=Input(kind="inline", digest="d"))
    ruled = replace(plain, policy=replace(plain.policy, launch=rules))
    assert job_from_json(job_to_json(ruled)).policy.launch == rules
    assert ruled.hash == plain.hash
    members = json.loads(job_to_json(plain))
    del members["policy"]["launch"]
    assert job_from_json(json.dumps(members).encode()).policy.launch == NO_RULES
