"""This project's provider alone: a request sent, the key looked up and removed, the answer read. Nothing is kept.

python -m benchmarks.clients.provider URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

from benchmarks.clients.questions import MODEL, questions
from llm_jobs.documents.steps import Message
from llm_jobs.providers.base import Provider, Request
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.registry import open_provider


def _requests(provider: Provider, catalogue: Catalogue, calls: int) -> Iterator[Request]:
    model = catalogue.resolve(f"openai/{MODEL}").model
    endpoint = provider.endpoint(model, "chat")
    for question in questions(calls):
        body = provider.body(model, "chat", [Message(role="user", content=question)], {}, None)
        yield Request(endpoint=endpoint, model=model, body=body)


async def _work(provider: Provider, asked: Iterator[Request], answers: list[object]) -> None:
    for request in asked:
        answered = await provider.send(request, call_hash="0" * 32, timeout_s=60.0)
        answers.append(provider.read(request, answered.raw).output)


async def _run(url: str, calls: int, concurrency: int) -> int:
    # The process's own environment, as the project reads it: a look-up there costs more than one in a dict.
    os.environ.update({"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-benchmark"})
    catalogue = Catalogue(environment=os.environ)
    provider = open_provider("openai", environment=os.environ, catalogue=catalogue, connections=0)
    answers: list[object] = []
    asked = _requests(provider, catalogue, calls)
    await asyncio.gather(*(_work(provider, asked, answers) for _ in range(concurrency)))
    await provider.aclose()
    return len(answers)


if __name__ == "__main__":
    answered = asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(0 if answered == int(sys.argv[2]) else f"{answered} answers of {sys.argv[2]}")
