"""The vendor's SDK over aiohttp: one worker per call in flight, answers kept in a list.

python -m benchmarks.clients.openai_sdk URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

from openai import AsyncOpenAI, DefaultAioHttpClient

from benchmarks.clients.questions import MODEL, questions


async def _work(client: AsyncOpenAI, asked: Iterator[str], answers: list[str | None]) -> None:
    for question in asked:
        answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])
        answers.append(answer.choices[0].message.content)


async def _run(url: str, calls: int, concurrency: int) -> int:
    answers: list[str | None] = []
    asked = questions(calls)
    http = DefaultAioHttpClient()
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-benchmark", http_client=http) as client:
        await asyncio.gather(*[_work(client, asked, answers) for _ in range(concurrency)])
    return len(answers)


if __name__ == "__main__":
    answered = asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(0 if answered == int(sys.argv[2]) else f"{answered} answers of {sys.argv[2]}")
