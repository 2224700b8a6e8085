"""What a model does not take: refused when a document is validated, so that nothing is silently dropped or paid for.

A deny-list: unknown parameters pass, for models learn faster than this table. `refuses` in `models.yaml` replaces the
rules for one model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import Operation
from llm_jobs.errors import Problem

_REASONING = re.compile(r"(?:o[134](?:-|$)|gpt-5(?!.*chat))")
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias")
_SAMPLING_REMEDY = "leave it out; such a model is steered by reasoning_effort"

# Refused whatever the model: the members that would change how an answer travels, and not what is asked.
_NEVER: Mapping[str, str] = {
    "api_key": "set the key's environment variable, and name it in models.yaml under `key`",
    "n": "write `sample: k` in the document: each answer then is a call of its own",
    "background": "leave it out; answers are waited for",
    "stream": "leave it out; answers are taken whole",
    "stream_options": "leave it out; answers are taken whole",
}
_HARMLESS: Mapping[str, tuple[JsonValue, ...]] = {"n": (None, 1), "background": (None, False), "stream": (None, False)}

_ANTHROPIC: Mapping[str, str] = {
    "seed": "leave it out; this provider has no seed: ask for several answers with `sample`",
    "frequency_penalty": "leave it out",
    "presence_penalty": "leave it out",
    "logit_bias": "leave it out",
    "logprobs": "leave it out",
    "top_logprobs": "leave it out",
    "response_format": "declare a `schema`; it is sent as output_config.format",
    "reasoning_effort": "write output_config: {effort: …}",
    "max_completion_tokens": "write max_tokens",
    "stop": "write stop_sequences: [ … ]",
}
_RESPONSES: Mapping[str, str] = {
    "max_tokens": "write max_output_tokens",
    "max_completion_tokens": "write max_output_tokens",
    "response_format": "declare a `schema`; it is sent as text.format",
    "messages": "the prompt is sent as `input`",
    "reasoning_effort": "write reasoning: {effort: …}",
    "stop": "leave it out; the responses endpoint has no stop sequences",
}
_OLLAMA: Mapping[str, str] = {
    "reasoning_effort": "write think: true, or think: low, medium or high",
    "response_format": "declare a `schema`; it is sent as format",
    "logit_bias": "leave it out; this provider has no such option",
}


def parameter_problems(
    *,
    provider: str,
    upstream: str,
    operation: Operation,
    parameters: Mapping[str, JsonValue],
    refuses: Mapping[str, str] | None = None,
) -> list[Problem]:
    """One Problem per parameter that the model would refuse or that would be paid for and lost.

    `refuses` (parameter -> remedy) replaces the rules that are known for the model.
    """
    refused = dict(_rules(provider, upstream, operation, parameters)) if refuses is None else refuses
    problems = []
    for name, value in parameters.items():
        if name in _NEVER and value not in _HARMLESS.get(name, ()):
            problems.append(_problem(name, value, f"{name} is not taken here", _NEVER[name]))
        elif name in refused:
            problems.append(_problem(name, value, f"the model {upstream} does not take {name}", refused[name]))
        elif provider == "anthropic" and name == "temperature" and not _within_unit(value):
            problems.append(_problem(name, value, "the temperature is out of range", "choose a value from 0 to 1"))
    return problems


def _rules(
    provider: str, upstream: str, operation: Operation, parameters: Mapping[str, JsonValue]
) -> Iterator[tuple[str, str]]:
    if provider == "anthropic":
        yield from _ANTHROPIC.items()
    if provider == "ollama":
        yield from _OLLAMA.items()
    if provider != "openai":
        return
    if operation == "responses":
        yield from _RESPONSES.items()
    if operation == "embeddings" or not counts_reasoning(upstream):
        return
    if operation == "chat":
        yield "max_tokens", "write max_completion_tokens: it counts the reasoning too"
    if not _without_reasoning(parameters):
        for name in _SAMPLING:
            yield name, _SAMPLING_REMEDY


def counts_reasoning(upstream: str) -> bool:
    """Is it one of OpenAI's reasoning models, whose limit (max_completion_tokens) counts the reasoning too?"""
    return _REASONING.match(upstream.rpartition("/")[2]) is not None


def _without_reasoning(parameters: Mapping[str, JsonValue]) -> bool:
    """Reasoning models that were told not to reason take the sampling parameters."""
    reasoning = parameters.get("reasoning")
    nested = reasoning.get("effort") if isinstance(reasoning, dict) else None
    return "none" in (parameters.get("reasoning_effort"), nested)


def _within_unit(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _problem(name: str, value: JsonValue, what: str, remedy: str) -> Problem:
    shown = None if name == "api_key" else f"{value!r:.80}"
    rule = "what a model does not take is refused here, never dropped"
    return Problem(what=what, key=name, value=shown, rule=rule, remedy=remedy)
