"""The images of the requests in flight are bounded in bytes, however many calls may be made at once."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from llm_jobs.documents.content import Image, ImagePart
from llm_jobs.documents.steps import Message, PromptStep
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.image_room import MOST_IMAGE_BYTES
from llm_jobs.engine.steps import Means, PreparedStep
from llm_jobs.limits.base import Limits
from llm_jobs.providers.base import Answered, Request
from llm_jobs.providers.image_parts import sent_bytes
from llm_jobs.results.outputs import Outputs
from llm_jobs_tests.engine.bench import Bench, bench, virtual_limiter
from llm_jobs_tests.engine.scripted import MODEL, ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual

PHOTO_BYTES = 15_000_000  # 20,000,000 of base64: twelve fit


class Weighing(ScriptedProvider):
    """Notes the most bytes of images that were in flight."""

    def __init__(self) -> None:
        super().__init__(latency_s=10)
        self.most_bytes = 0
        self._bytes = 0

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        self._bytes += sent_bytes(request.images)
        self.most_bytes = max(self.most_bytes, self._bytes)
        try:
            return await super().send(request, call_hash=call_hash, timeout_s=timeout_s)
        finally:
            self._bytes -= sent_bytes(request.images)


def photo(part: ImagePart, size_bytes: int) -> Image:
    digest = hashlib.sha256(str(part.file).encode()).hexdigest()
    return Image(
        sha256=digest, media_type="image/png", size_bytes=size_bytes, width=8, height=8, read=lambda: b"unread"
    )


def seeing(b: Bench, gate: ModelGate, size_bytes: int) -> PreparedStep:
    step = PromptStep(
        name="answer", model=MODEL, messages=(Message(role="user", content=(ImagePart(file="{{ x }}.png"),)),)
    )
    means = Means(
        provider=b.provider, gate=gate, price=lambda usage: 0.5, find_image=lambda part: photo(part, size_bytes)
    )
    return PreparedStep(step, means, outputs=Outputs(step), epoch=None)


def asked(provider: Weighing, *, size_bytes: int, rows: int, quota: bool = False) -> list[str | None]:
    async def scenario() -> list[str | None]:
        async with bench(provider) as b:
            limits = Limits(requests_per_minute=600, burst_s=1)
            gate = ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits) if quota else ModelGate()
            steps = [seeing(b, gate, size_bytes)]
            numbered = [{"x": str(number)} for number in range(rows)]
            done = await asyncio.wait_for(b.complete(numbered, lane=b.lane(concurrency=64), steps=steps), 3_600)
            return [row.status for row in done]

    return run_virtual(scenario())


@pytest.mark.parametrize("quota", [False, True])
def test_calls_wait_where_their_images_would_be_too_many_bytes_at_once(quota: bool) -> None:
    provider = Weighing()
    assert asked(provider, size_bytes=PHOTO_BYTES, rows=50, quota=quota) == ["succeeded"] * 50
    assert MOST_IMAGE_BYTES - 4 * PHOTO_BYTES // 3 < provider.most_bytes <= MOST_IMAGE_BYTES


def test_a_request_that_is_larger_than_the_bound_is_sent_alone() -> None:
    provider = Weighing()
    assert asked(provider, size_bytes=MOST_IMAGE_BYTES, rows=3) == ["succeeded"] * 3
    assert provider.most_in_flight == 1


def test_small_images_are_held_back_by_nothing() -> None:
    provider = Weighing()
    assert asked(provider, size_bytes=1_000, rows=64) == ["succeeded"] * 64
    assert provider.most_in_flight == 64
