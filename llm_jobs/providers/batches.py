"""The contract of a vendor's batch endpoint: many requests in one file, answered within a day at half the price.

An endpoint builds the file (pure), hands it over, finds it again, tells how far it is, and reads its lines. It never
decides: what is asked, what is recorded and when belongs to the operations. Each call is named by its call hash
(`custom_id`), so the order of lines means nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.errors import CallError

# What the vendors' price lists say of both: half of the online price, input and output.
PRICE_FACTORS: Mapping[str, float] = {"openai": 0.5, "anthropic": 0.5, "simulated": 0.5}
COMPLETION_WINDOW_S = 24 * 3600.0  # of both vendors

LineStatus = Literal["answered", "failed", "unsent"]
RefusalKind = Literal["file", "enqueued_tokens", "account"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLimits:
    """What one batch may hold. `inputs`: texts of embeddings in all its requests together."""

    requests: int
    bytes: int
    inputs: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTarget:
    """What all requests of one batch share. `key` of `model` is a name, never a value."""

    model: ModelRef
    endpoint: Endpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """A batch as it was recorded before it was handed over: enough to find it again. `marks`: what `before` told."""

    target: BatchTarget
    token: str
    calls: int
    recorded_ns: int
    file_id: str | None = None
    marks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a search for a batch came to. `vendor_id` where it was found; else `absent` says that there surely is none,
    and `reason` why it cannot be told."""

    vendor_id: str | None = None
    absent: bool = False
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a batch is. `ended`: the vendor works on it no more. `refusal`: none of its requests was carried out.
    `answered`: how many lines with an answer the vendor says it has. `bad_lines`: what is wrong with a file, by
    the number of its line, from 1. `files`: what `lines` reads."""

    status: str  # the vendor's own word
    ended: bool
    done: int = 0
    total: int = 0
    answered: int = 0
    refusal: RefusalKind | None = None
    reason: str = ""
    bad_lines: Mapping[int, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "total": self.total,
            "answered": self.answered,
            "refusal": self.refusal,
            "reason": self.reason,
            "bad_lines": {str(line): reason for line, reason in self.bad_lines.items()},
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, status: str, told: Mapping[str, Any]) -> Progress:
        """The progress that was recorded of a batch which ended."""
        bad_lines = {int(line): reason for line, reason in told["bad_lines"].items()}
        return cls(status=status, ended=True, **{**told, "bad_lines": bad_lines})


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What a batch says of one call. answered: `raw` is the answer's body; failed: `error` says why; unsent: the vendor
    did not carry it out (expired, cancelled) and charges nothing. `custom_id` None: the line cannot be read."""

    custom_id: str | None
    status: LineStatus
    text: bytes  # the line as it came, secrets removed
    raw: bytes | None = None
    error: CallError | None = None


class BatchEndpoint(Protocol):
    """One vendor's batches. Belongs to one event loop. Everything that talks raises CallError, nothing else."""

    kind: str
    limits: BatchLimits

    def request(self, target: BatchTarget, custom_id: str, body: Mapping[str, JsonValue]) -> bytes:
        """One request as it stands in the file. Raises PermanentError where it cannot be written."""

    def content(self, requests: Sequence[bytes]) -> bytes:
        """The whole file."""

    async def before(self, target: BatchTarget) -> Mapping[str, Any]:
        """Marks taken before a submission, by which `find` tells what came after; JSON."""

    async def upload(self, ticket: Ticket, content: bytes) -> str | None:
        """Hand the file over; returns its name there, None where the vendor takes no file apart. Costs nothing."""

    async def submit(self, ticket: Ticket, content: bytes) -> str:
        """Have the batch made; returns its name there. PermanentError and RateLimited: it surely was not made."""

    async def find(self, ticket: Ticket, *, known: frozenset[str], custom_ids: frozenset[str]) -> Found:
        """Look for a batch whose name was lost. `known`: names of other batches of ours; `custom_ids`: its calls."""

    async def poll(self, target: BatchTarget, vendor_id: str) -> Progress: ...

    def lines(self, target: BatchTarget, vendor_id: str, progress: Progress) -> AsyncIterator[Line]:
        """Every line of a batch that ended, as it is; one file at a time is held."""

    async def cancel(self, target: BatchTarget, vendor_id: str) -> None:
        """Ask the vendor to stop; what is done until then is kept and paid."""

    async def aclose(self) -> None: ...


def is_full(limits: BatchLimits, *, requests: int, bytes: int, inputs: int) -> bool:
    """Whether a file of that many requests, bytes and inputs is more than one batch may hold."""
    too_many_inputs = limits.inputs is not None and inputs > limits.inputs
    return requests > limits.requests or bytes > limits.bytes or too_many_inputs


def inputs_of(body: Mapping[str, JsonValue]) -> int:
    """How many texts an embedding request holds; 1 for any other."""
    texts = body.get("input")
    return len(texts) if isinstance(texts, list) and "messages" not in body else 1
