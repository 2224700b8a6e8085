"""The frozen job as JSON and back: what a submission's row in the ledger holds. Plain values; no validation of users'
text happens here, for the text was validated when the job was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llm_jobs.documents.caching import cache_from
from llm_jobs.documents.content import content_from
from llm_jobs.documents.destinations import output_error_from, outputs_from
from llm_jobs.documents.failures import failures_from
from llm_jobs.documents.job import Budget, FollowUp, ImageFiles, Input, Job, Policy, Schedule
from llm_jobs.documents.launch_rules import launch_rules_from
from llm_jobs.documents.model_refs import Candidate, Endpoint, ModelChoice, ModelRef
from llm_jobs.documents.steps import (
    CompoundStep,
    FilterStep,
    GraphStep,
    GroupStep,
    Message,
    PromptStep,
    RequestStep,
    SplitStep,
    Step,
    SweepStep,
    TaskStep,
    asking_steps,
)
from llm_jobs.documents.table_sources import input_errors_from, input_members
from llm_jobs.documents.watched import watching_from

_KINDS: dict[str, type[GraphStep]] = {
    "prompt": PromptStep,
    "request": RequestStep,
    "task": TaskStep,
    "filter": FilterStep,
    "compound": CompoundStep,
    "group": GroupStep,
    "split": SplitStep,
    "sweep": SweepStep,
}


def job_to_json(job: Job) -> bytes:
    """The whole job, policy included, as UTF-8 JSON."""
    members = asdict(job)
    members["steps"] = [_tagged(step) for step in job.steps] if not job.graph else []
    members["graph"] = [_tagged(step) for step in job.graph]
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def job_from_json(text: bytes) -> Job:
    """The job that `job_to_json` wrote. The hash is taken as recorded, not computed again."""
    members = json.loads(text)
    members["graph"] = graph = tuple(_graph_step(step) for step in members.get("graph", ()))
    members["steps"] = asking_steps(graph) or tuple(_step(step) for step in members["steps"])
    members["input"] = Input(**input_members(members["input"]))
    members["policy"] = _policy(members["policy"])
    if (images := members.get("images")) is not None:
        members["images"] = ImageFiles(**images)
    return Job(**members)


def _tagged(step: GraphStep) -> dict[str, Any]:
    """The step's members, and under `kind` (which a compound says itself) which class it is of."""
    members = asdict(step)
    if isinstance(step, CompoundStep):
        members["steps"] = [_tagged(inner) for inner in step.steps]
    return (
        members
        | {"kind": next(kind for kind, made in _KINDS.items() if isinstance(step, made))}
        | ({"compound": step.kind} if isinstance(step, CompoundStep) else {})
    )


def _graph_step(members: dict[str, Any]) -> GraphStep:
    if members["kind"] in ("prompt", "request"):
        return _step(members)
    made = _KINDS[members.pop("kind")]
    if made is CompoundStep:
        members["kind"] = members.pop("compound")
        members["steps"] = tuple(_graph_step(inner) for inner in members["steps"])
    for name in ("needs", "by", "values"):
        if members.get(name) is not None:
            members[name] = tuple(members[name])
    if made is GroupStep:
        members["combine"] = tuple(_message(message) for message in members.get("combine", ()))
    return made(**members)


def _step(members: dict[str, Any]) -> Step:
    members["model"] = ModelRef(**members["model"])
    if members.get("needs") is not None:
        members["needs"] = tuple(members["needs"])
    if members.pop("kind") == "prompt":
        members["messages"] = tuple(_message(message) for message in members["messages"])
        if (choice := members.get("choice")) is not None:
            candidates = tuple(_candidate(candidate) for candidate in choice["candidates"])
            members["choice"] = ModelChoice(**{**choice, "candidates": candidates})
        return PromptStep(**members)
    if members["endpoint"] is not None:
        members["endpoint"] = Endpoint(**members["endpoint"])
    return RequestStep(**members)


def _message(members: Mapping[str, Any]) -> Message:
    return Message(role=members["role"], content=content_from(members["content"]))


def _candidate(members: Mapping[str, Any]) -> Candidate:
    return Candidate(**{**members, "model": ModelRef(**members["model"])})


def _policy(members: Mapping[str, Any]) -> Policy:
    schedule, budget = members["schedule"], members.get("budget")
    on_status = {
        step: {status: tuple(_follow_up(rule) for rule in rules) for status, rules in by_status.items()}
        for step, by_status in members.get("on_status", {}).items()
    }
    return Policy(
        **{
            **{name: value for name, value in members.items() if name != "output"},
            "input_errors": input_errors_from(members.get("input_errors")),
            "outputs": outputs_from(members),
            "on_output_error": output_error_from(members.get("on_output_error")),
            "schedule": Schedule(**schedule) if schedule else None,
            "budget": Budget(**budget) if budget else None,
            "on_status": on_status,
            "watching": watching_from(members.get("watching")),
            "launch": launch_rules_from(members.get("launch")),
            "failures": failures_from(members.get("failures")),
            "cache": cache_from(members.get("cache")),
            "step_caches": {step: cache_from(each) for step, each in members.get("step_caches", {}).items()},
        }
    )


def _follow_up(members: Mapping[str, Any]) -> FollowUp:
    candidate = members["candidate"]
    return FollowUp(**{**members, "candidate": _candidate(candidate) if candidate else None})
