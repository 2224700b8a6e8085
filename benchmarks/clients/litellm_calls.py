"""litellm's `acompletion`: one worker per call in flight, answers kept in a list.

python -m benchmarks.clients.litellm_calls URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

from benchmarks.clients.questions import MODEL, questions

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its price list is fetched while it is imported

import litellm


async def _work(url: str, asked: Iterator[str], answers: list[str]) -> None:
    for question in asked:
        answer = await litellm.acompletion(
            model=f"openai/{MODEL}",
            messages=[{"role": "user", "content": question}],
            api_base=f"{url}/v1",
            api_key="sk-benchmark",
        )
        answers.append(answer.choices[0].message.content)


async def _run(url: str, calls: int, concurrency: int) -> int:
    answers: list[str] = []
    asked = questions(calls)
    await asyncio.gather(*[_work(url, asked, answers) for _ in range(concurrency)])
    return len(answers)


if __name__ == "__main__":
    litellm.telemetry = False
    answered = asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    sys.exit(0 if answered == int(sys.argv[2]) else f"{answered} answers of {sys.argv[2]}")
