"""The frozen job as JSON and back: what a submission's row in the ledger holds. Plain values; no validation of users'
text happens here, for the text was validated when the job was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llm_jobs.documents.job import (
    Budget,
    Candidate,
    Endpoint,
    FollowUp,
    Input,
    Job,
    Message,
    ModelChoice,
    ModelRef,
    Output,
    Policy,
    PromptStep,
    RequestStep,
    Schedule,
    Step,
)


def job_to_json(job: Job) -> bytes:
    """The whole job, policy included, as UTF-8 JSON."""
    members = asdict(job)
    for step, value in zip(job.steps, members["steps"], strict=True):
        value["kind"] = "prompt" if isinstance(step, PromptStep) else "request"
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def job_from_json(text: bytes) -> Job:
    """The job that `job_to_json` wrote. The hash is taken as recorded, not computed again."""
    members = json.loads(text)
    members["steps"] = tuple(_step(step) for step in members["steps"])
    members["input"] = Input(**{**members["input"], "rows": tuple(members["input"]["rows"])})
    members["policy"] = _policy(members["policy"])
    return Job(**members)


def _step(members: dict[str, Any]) -> Step:
    members["model"] = ModelRef(**members["model"])
    if members.pop("kind") == "prompt":
        members["messages"] = tuple(Message(**message) for message in members["messages"])
        if (choice := members.get("choice")) is not None:
            candidates = tuple(_candidate(candidate) for candidate in choice["candidates"])
            members["choice"] = ModelChoice(kind=choice["kind"], candidates=candidates)
        return PromptStep(**members)
    if members["endpoint"] is not None:
        members["endpoint"] = Endpoint(**members["endpoint"])
    return RequestStep(**members)


def _candidate(members: Mapping[str, Any]) -> Candidate:
    return Candidate(**{**members, "model": ModelRef(**members["model"])})


def _policy(members: Mapping[str, Any]) -> Policy:
    output, schedule, budget = members["output"], members["schedule"], members.get("budget")
    on_status = {
        step: {status: tuple(_follow_up(rule) for rule in rules) for status, rules in by_status.items()}
        for step, by_status in members.get("on_status", {}).items()
    }
    return Policy(
        **{
            **members,
            "output": Output(**output) if output else None,
            "schedule": Schedule(**schedule) if schedule else None,
            "budget": Budget(**budget) if budget else None,
            "on_status": on_status,
        }
    )


def _follow_up(members: Mapping[str, Any]) -> FollowUp:
    candidate = members["candidate"]
    return FollowUp(**{**members, "candidate": _candidate(candidate) if candidate else None})
