"""Which calls wait now, and for what. Told from the loop's thread, read from others."""

from __future__ import annotations

from collections import Counter

from llm_jobs.events import WaitReason


class Waits:
    """Waiting calls by their hash. A wait ends with whatever is told next of the call, or with its job."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[str, tuple[str, str, WaitReason]] = {}  # call hash -> job hash, model, reason

    def begin(self, call_hash: str, job_hash: str, model: str, reason: WaitReason) -> None:
        self._calls[call_hash] = (job_hash, model, reason)

    def end(self, call_hash: str) -> None:
        self._calls.pop(call_hash, None)

    def end_job(self, job_hash: str) -> None:
        self._calls = {call: wait for call, wait in self._calls.items() if wait[0] != job_hash}

    def now(self) -> Counter[tuple[str, WaitReason]]:
        """How many wait, by model and reason."""
        return Counter((model, reason) for _, model, reason in list(self._calls.values()))
