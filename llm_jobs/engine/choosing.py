"""In which order the models of a choice are asked about one question. Pure, and the same in every job and process.

Weighted rendezvous hashing (D. Thaler and C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM
Transactions on Networking 6, 1998; weights as in J. Resch, "New Hashing Algorithms for Data Storage", SDC 2015): each
model scores -weight / ln(u), u uniform by the hash of the question and the model, and the highest is asked. A model
that joins or leaves, or another weight, changes the model of those questions alone that it gains or loses.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

from llm_jobs.documents.content import content_json
from llm_jobs.documents.identity import canonical_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate, ModelChoice
from llm_jobs.documents.steps import Message, PromptStep, Step

Order = Callable[[object, int], Sequence[int]]  # rendered messages and sample -> places in the choice
Weight = Callable[[], float]


def order_of(step: Step, weights: Sequence[Weight]) -> Order:
    """How the models of `step` are ordered for a question. Places are those of its candidates. `weights`: what the
    catalogue says of each now, for those whose weight the step leaves open."""
    choice = step.choice if isinstance(step, PromptStep) else None
    if not isinstance(step, PromptStep) or choice is None or choice.kind != "weighted":
        listed = range(len(choice.candidates) if choice else 0)
        return lambda rendered, sample: listed
    return _weighted(step, choice, weights)


def _weighted(step: PromptStep, choice: ModelChoice, weights: Sequence[Weight]) -> Order:
    shares = [
        (canonical_json(_place(candidate)), candidate.weight, weight)
        for candidate, weight in zip(choice.candidates, weights, strict=True)
    ]
    schema = step.schema and dict(step.schema)
    rest = {"operation": step.operation, "parameters": _shared(choice.candidates), "schema": schema}

    def order(rendered: object, sample: int) -> Sequence[int]:
        messages: Sequence[Message] = rendered  # type: ignore[assignment]
        turns = [[message.role, content_json(message.content)] for message in messages]
        question = canonical_json({**rest, "messages": turns, "sample": sample})
        scores = [score(question, key, weight() if stated is None else stated) for key, stated, weight in shares]
        return sorted(range(len(shares)), key=lambda place: (-scores[place], shares[place][0]))

    return order


def score(question: bytes, model: bytes, weight: float) -> float:
    """What a model bids for a question; the highest wins, in proportion to the weights."""
    digest = hashlib.sha256(model + b"\n" + question).digest()
    uniform = ((int.from_bytes(digest[:8], "big") >> 12) + 0.5) / 2.0**52  # exact, and never 0 or 1
    return -weight / math.log(uniform)


def _place(candidate: Candidate) -> list[str | None]:
    model = candidate.model
    return [model.provider, model.upstream, model.identity_url or model.base_url, model.digest]


def _shared(candidates: Sequence[Candidate]) -> dict[str, JsonValue]:
    """The parameters that all of them receive: a default of one model is no part of the question."""
    first, *others = [candidate.parameters for candidate in candidates]
    return {
        name: stated
        for name, stated in first.items()
        if all(name in other and canonical_json(other[name]) == canonical_json(stated) for other in others)
    }
