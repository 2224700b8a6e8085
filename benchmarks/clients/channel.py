"""This project's HTTP alone: the bare loop with `HttpChannel` in the place of aiohttp.

python -m benchmarks.clients.channel URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import orjson

from benchmarks.clients.questions import MODEL, questions
from llm_jobs.providers.http import HttpChannel
from llm_jobs.providers.secrets import Scrubber

_HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-benchmark"}


async def _work(channel: HttpChannel, url: str, asked: Iterator[str], answers: list[str]) -> None:
    scrubber = Scrubber(["sk-benchmark"])
    for question in asked:
        body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": question}]})
        answered = await channel.exchange(
            "POST", url, headers=_HEADERS, payload=body, timeout_s=60.0, scrubber=scrubber
        )
        answers.append(orjson.loads(answered.raw)["choices"][0]["message"]["content"])


async def _run(url: str, calls: int, concurrency: int) -> int:
    answers: list[str] = []
    asked = questions(calls)
    channel = HttpChannel(connections=concurrency)
    work = [_work(channel, f"{url}/v1/chat/completions", asked, answers) for _ in range(concurrency)]
    await asyncio.gather(*work)
    await channel.aclose()
    return len(answers)


if __name__ == "__main__":
    answered = asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(0 if answered == int(sys.argv[2]) else f"{answered} answers of {sys.argv[2]}")
