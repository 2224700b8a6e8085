"""A frozen job comes back as it was, and one that an earlier version froze can still be read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.documents.job import Budget, FollowUp, Job, Policy
from llm_jobs.documents.model_refs import Candidate, ModelChoice
from llm_jobs_tests.documents.test_identity import CANDIDATES, FILE, OTHER, STEP, TABLE

POLICY = Policy(
    labels={"team": "nlp"},
    budget=Budget(max_cost_usd=1.5),
    mode="batch",
    step_modes={"sentiment": "online"},
    on_status={
        "sentiment": {
            "truncated": (FollowUp(action="ask_again", factor=2.0, up_to=4000, times=10),),
            "invalid": (
                FollowUp(action="repair", times=2),
                FollowUp(action="model", model="openai/other", candidate=Candidate(model=OTHER, parameters={"n": 1})),
            ),
            "refused": (),
        }
    },
)
JOB = Job(
    name="a",
    steps=(replace(STEP, choice=ModelChoice(kind="weighted", candidates=CANDIDATES), schema={}, native=False),),
    input=TABLE,
    policy=POLICY,
)
# What versions before the first with budgets, rules and several models wrote.
LATER_OF_POLICY = ("budget", "mode", "step_modes", "on_status", "group")
LATER_OF_STEPS = ("choice", "native")


def test_a_frozen_job_comes_back_as_it_was() -> None:
    assert job_from_json(job_to_json(JOB)) == JOB


def test_a_job_that_an_earlier_version_froze_is_the_same_job() -> None:
    job = Job(name="a", steps=(STEP,), input=FILE, policy=Policy(max_retries=3))
    members: dict[str, Any] = json.loads(job_to_json(job))
    for name in LATER_OF_POLICY:
        members["policy"].pop(name, None)
    for name in LATER_OF_STEPS:
        members["steps"][0].pop(name)
    assert job_from_json(json.dumps(members).encode()) == job


def test_every_model_that_may_be_asked_is_told_once() -> None:
    assert [model.name for model in JOB.models] == ["openai/gpt-4.1-mini", "openai/other"]
    assert [model.name for model in Job(name="a", steps=(STEP,), input=TABLE).models] == ["openai/gpt-4.1-mini"]
