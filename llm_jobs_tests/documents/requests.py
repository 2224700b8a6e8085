"""Forty request bodies, as varied as what users send to each provider and endpoint."""

from __future__ import annotations

from llm_jobs.documents.json_value import JsonValue

Body = dict[str, JsonValue]

_SYSTEM: JsonValue = {"role": "system", "content": "Answer in one word."}
_USER: JsonValue = {"role": "user", "content": "Grüße, 你好 😀: is it positive?"}
_PERSON: JsonValue = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_TOOL: JsonValue = {"type": "function", "function": {"name": "look_up", "parameters": _PERSON, "strict": True}}
_FORMAT: JsonValue = {"type": "json_schema", "json_schema": {"name": "person", "schema": _PERSON, "strict": True}}


def _chat(**members: JsonValue) -> Body:
    return {"model": "gpt-4.1-mini", "messages": [_SYSTEM, _USER], **members}


def _responses(**members: JsonValue) -> Body:
    return {"model": "gpt-5", "input": [_USER], **members}


def _embeddings(**members: JsonValue) -> Body:
    return {"model": "text-embedding-3-small", "input": "a text", **members}


def _anthropic(**members: JsonValue) -> Body:
    return {"model": "claude-sonnet-4-5", "system": "Be brief.", "messages": [_USER], "max_tokens": 100, **members}


def _ollama(**members: JsonValue) -> Body:
    return {"model": "llama3.2", "messages": [_USER], **members}


BODIES: tuple[Body, ...] = (
    _chat(),
    _chat(temperature=0),
    _chat(temperature=0.7, top_p=0.9),
    _chat(seed=7, max_tokens=100),
    _chat(max_completion_tokens=1000, reasoning_effort="low"),
    _chat(stop=["\n", "END"]),
    _chat(n=2, logprobs=True, top_logprobs=5),
    _chat(presence_penalty=-0.5, frequency_penalty=1e-7),
    _chat(logit_bias={"50256": -100}),
    _chat(response_format={"type": "json_object"}),
    _chat(response_format=_FORMAT),
    _chat(tools=[_TOOL], tool_choice="auto", parallel_tool_calls=False),
    _chat(modalities=["text"], verbosity="high"),
    _chat(prediction={"type": "content", "content": "Yes"}),
    _chat(unknown_parameter={"deep": [1, [2, {"deeper": None}]]}),
    _chat(chat_template_kwargs={"enable_thinking": False}, guided_choice=["yes", "no"]),
    _responses(),
    _responses(instructions="Be brief.", max_output_tokens=64),
    _responses(reasoning={"effort": "minimal", "summary": "auto"}),
    _responses(text={"format": {"type": "json_schema", "name": "person", "schema": _PERSON}}),
    _responses(tools=[{"type": "web_search"}], truncation="auto"),
    _responses(previous_response_id="resp_1", include=["reasoning.encrypted_content"]),
    _responses(input="only text", background=False),
    _embeddings(),
    _embeddings(dimensions=256, encoding_format="float"),
    _embeddings(input=["a", "b", ""]),
    _embeddings(input=[[1, 2, 3], [4]]),
    _anthropic(),
    _anthropic(temperature=1.0, top_k=40),
    _anthropic(thinking={"type": "enabled", "budget_tokens": 2048}),
    _anthropic(stop_sequences=["###"], system=[{"type": "text", "text": "Brief."}]),
    _anthropic(tools=[{"name": "look_up", "input_schema": _PERSON}], tool_choice={"type": "any"}),
    _ollama(),
    _ollama(options={"num_ctx": 8192, "seed": 1, "temperature": 0.0}),
    _ollama(format=_PERSON, keep_alive="5m"),
    _ollama(think=True, options={"num_predict": -1}),
    {"model": "tiny", "prompt": "Once", "suffix": "end", "echo": False},
    {"model": "hf/x", "inputs": "Once", "parameters": {"do_sample": False, "max_new_tokens": 9}},
    {"script": "ask.py", "arguments": ["--fast"], "stdin": "Once"},
    {"model": "simulated", "messages": [_USER], "faults": {"rate_limited": 0.1}, "latency_s": 0.05},
)
