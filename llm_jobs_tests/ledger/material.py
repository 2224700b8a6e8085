"""Calls, outcomes and submissions to fill a ledger with."""

from __future__ import annotations

from llm_jobs.ledger.base import Exchange, Facts, Ledger, Outcome, OutcomeStatus, OwnerIdentity, Submission, Want
from llm_jobs.ledger.owners import this_process

JOB = "j" * 32
ELSEWHERE = OwnerIdentity(host="elsewhere", boot_id="b1", pid=7, started=1.0, run_id="far")


def submission(job_hash: str = JOB, *, name: str = "reviews", document_name: str = "reviews.yaml") -> Submission:
    return Submission(
        job_hash=job_hash,
        name=name,
        document_name=document_name,
        document=b"prompt: hello",
        job=b'{"name": "reviews"}',
        submitter="ada",
        origin="cli",
        version="1.2.0",
        labels={"team": "search", "sprache": "deutsch"},
    )


def facts(status: OutcomeStatus = "succeeded") -> Facts:
    return Facts(
        status=status,
        model_answered="m-2026",
        finish_reason="stop",
        prompt_tokens=10,
        completion_tokens=5,
        cost_usd=0.25,
        latency_s=0.5,
        http_status=200,
    )


class Asker:
    """An owner at work: asks for calls and reports their ends."""

    def __init__(self, ledger: Ledger, identity: OwnerIdentity | None = None) -> None:
        self.ledger = ledger
        self.owner_id = ledger.open_owner(identity or this_process())
        [self.submission_id] = ledger.submit([submission()])

    def want(self, call_hash: str, *, held: bool = False, behind: int | None = None, attempt: int = 1) -> Want:
        return Want(
            call_hash=call_hash,
            job_hash=JOB,
            submission_id=self.submission_id,
            provider="openai",
            model="openai/m",
            attempt=attempt,
            held=held,
            behind=behind,
        )

    def ask(self, *call_hashes: str, behind: int | None = None) -> Exchange:
        wants = [self.want(call_hash, behind=behind) for call_hash in call_hashes]
        return self.ledger.exchange(self.owner_id, outcomes=[], wants=wants)

    def claim(self, call_hash: str) -> int:
        """Ask for a free call and return the intent's id."""
        return self.ask(call_hash).granted[call_hash]

    def retry(self, call_hash: str) -> Exchange:
        want = self.want(call_hash, held=True, attempt=2)
        return self.ledger.exchange(self.owner_id, outcomes=[], wants=[want])

    def report(
        self, call_hash: str, intent_id: int, status: OutcomeStatus = "succeeded", *, final: bool = True
    ) -> None:
        self.ledger.exchange(self.owner_id, outcomes=[outcome(call_hash, intent_id, status, final=final)], wants=[])

    def answer(self, call_hash: str) -> int:
        """Claim a call and answer it; returns the intent's id."""
        intent_id = self.claim(call_hash)
        self.report(call_hash, intent_id)
        return intent_id


def outcome(
    call_hash: str, intent_id: int, status: OutcomeStatus = "succeeded", *, final: bool = True, answer: bytes = b"hi"
) -> Outcome:
    return Outcome(
        intent_id=intent_id, call_hash=call_hash, facts=facts(status), final=final, request=b"question", answer=answer
    )
