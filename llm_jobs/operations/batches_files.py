"""The file of a batch while it is filled: its size, its requests, the intents that stand behind them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_jobs.ledger.base import Submission
from llm_jobs.ledger.batch_records import Batch
from llm_jobs.operations.batches_plan import Need
from llm_jobs.operations.batches_targets import target_to_json
from llm_jobs.providers.batches import BatchEndpoint, BatchTarget, inputs_of
from llm_jobs.providers.image_parts import sent_bytes

BYTES_PER_TOKEN = 4  # the vendors' own rule of thumb


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSize:
    requests: int = 0
    size_bytes: int = 0
    inputs: int = 0
    image_bytes: int = 0  # of `size_bytes`
    image_tokens: int = 0

    @property
    def tokens(self) -> int:
        return (self.size_bytes - self.image_bytes) // BYTES_PER_TOKEN + self.image_tokens

    def plus(self, need: Need, request: bytes) -> FileSize:
        images = need.call.request.images
        return FileSize(
            requests=self.requests + 1,
            size_bytes=self.size_bytes + len(request) + 1,
            inputs=self.inputs + inputs_of(need.call.request.body),
            image_bytes=self.image_bytes + sent_bytes(images),
            image_tokens=self.image_tokens + sum(image.tokens for image in images),
        )


@dataclass(kw_only=True, slots=True)
class BatchFile:
    """A batch under way: claimed calls and their requests, in the order of their intents."""

    endpoint: BatchEndpoint
    target: BatchTarget
    owner_id: int
    first_row: int
    size: FileSize = field(default_factory=FileSize)
    requests: list[bytes] = field(default_factory=list)
    intents: list[int] = field(default_factory=list)

    def batch(self, submission: Submission, content: bytes, marks: Mapping[str, Any]) -> Batch:
        """The batch as it is recorded, under a new token."""
        model, endpoint = self.target.model, self.target.endpoint
        return Batch(
            provider=model.provider,
            model=model.name,
            base_url=endpoint.base_url,
            path=endpoint.path,
            job_hash=submission.job_hash,
            submission_id=submission.id or 0,
            owner_id=self.owner_id,
            token=secrets.token_hex(16),
            calls=len(self.requests),
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            details={
                "target": target_to_json(self.target),
                "marks": dict(marks),
                "intents": _runs(self.intents),
                "first_row": self.first_row,
                "tokens": self.size.tokens,
            },
        )


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Growing `numbers` as the first and the last of each run without a gap."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
