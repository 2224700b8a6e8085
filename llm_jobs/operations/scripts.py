"""Prompt and command scripts: run once while a job is frozen, in the allowed folder, without secrets.

A prompt script (J13) prints the prompt: plain text, or JSON `{"messages": [{"role", "content"}, ...]}`. A command
script (J12) reads `{"configuration": ..., "prompt": ...}` from its standard input and prints the request, which the
`command` provider reads. What is printed is what is hashed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from llm_jobs.documents.content import content_json
from llm_jobs.documents.message_models import MessageModel
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ScriptRef
from llm_jobs.documents.steps import Message, RequestStep
from llm_jobs.errors import DocumentError, LlmJobsError
from llm_jobs.isolation.subprocesses import run_script
from llm_jobs.operations.services import Services
from llm_jobs.providers.command import parse_command


def written_prompt(services: Services, document: ParsedDocument, prompt: ParsedPrompt) -> tuple[Message, ...]:
    """The messages that the prompt's script prints. Raises DocumentError."""
    assert prompt.script is not None
    try:
        text = _printed(services, document, prompt, prompt.script, b"").decode()
    except UnicodeDecodeError as error:
        problem = document.problem(
            prompt.at,
            f"what the script prints is no text: {error.reason} at byte {error.start}",
            value=prompt.script.script,
            rule="a prompt is UTF-8",
            remedy="have the script print UTF-8",
        )
        raise DocumentError([problem]) from None
    try:
        members = json.loads(text)
        return tuple(_message(each) for each in members["messages"])
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        problem = document.problem(
            prompt.at,
            f"what the script prints is no message: {'.'.join(map(str, found['loc']))}: {found['msg']}",
            value=prompt.script.script,
            rule="a message is one text, or parts that are texts and, in messages of the user, images",
            remedy="have the script print such messages",
        )
        raise DocumentError([problem]) from None
    except (ValueError, TypeError, KeyError):
        return (Message(role="user", content=text.removesuffix("\n")),)


def _message(printed: Mapping[str, Any]) -> Message:
    """One message of a script. Raises ValidationError for broken parts, TypeError or KeyError for no message."""
    if isinstance(printed["content"], list):
        return MessageModel.model_validate(printed).message()
    return Message(role=printed["role"], content=printed["content"])


def made_request(
    services: Services,
    document: ParsedDocument,
    prompt: ParsedPrompt,
    messages: tuple[Message, ...],
    model: ModelRef,
) -> RequestStep:
    """The request that the prompt's command script prints. Raises DocumentError."""
    assert prompt.command is not None
    given = {
        "configuration": {"LLM_name": model.upstream, **prompt.parameters},
        "prompt": content_json(messages[-1].content),
        "messages": [message.identity() for message in messages],
    }
    printed = _printed(services, document, prompt, prompt.command, json.dumps(given).encode())
    command = parse_command(printed, script=prompt.command.script, catalogue=services.catalogue)
    return RequestStep(
        name=prompt.name,
        model=model,
        endpoint=command.endpoint,
        body=command.body,
        answer_pointer=command.answer_pointer,
        templated=prompt.templated,
    )


def _printed(
    services: Services, document: ParsedDocument, prompt: ParsedPrompt, script: ScriptRef, stdin: bytes
) -> bytes:
    settings = services.settings
    try:
        return run_script(
            script.script,
            folder=settings.scripts,
            arguments=script.arguments,
            stdin=stdin,
            timeout_s=settings.script_timeout_s,
        )
    except LlmJobsError as error:
        raise DocumentError([document.problem(prompt.at, str(error), value=script.script)]) from None
