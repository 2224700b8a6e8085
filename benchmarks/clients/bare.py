"""The floor: aiohttp and orjson, one worker per call in flight, answers kept in a list and nowhere else.

python -m benchmarks.clients.bare URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import aiohttp
import orjson

from benchmarks.clients.questions import MODEL, questions

_HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-benchmark"}


async def _work(session: aiohttp.ClientSession, url: str, asked: Iterator[str], answers: list[str]) -> None:
    for question in asked:
        body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": question}]})
        async with session.post(url, data=body, headers=_HEADERS) as response:
            answers.append(orjson.loads(await response.read())["choices"][0]["message"]["content"])


async def _run(url: str, calls: int, concurrency: int) -> int:
    answers: list[str] = []
    asked = questions(calls)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        work = [_work(session, f"{url}/v1/chat/completions", asked, answers) for _ in range(concurrency)]
        await asyncio.gather(*work)
    return len(answers)


if __name__ == "__main__":
    answered = asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(0 if answered == int(sys.argv[2]) else f"{answered} answers of {sys.argv[2]}")
