"""Where a job's questions go: endpoints, models as the catalogue resolved them, and the choice among several.

Plain values, and what each contributes to a hash. Which model of a choice answers is `engine`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llm_jobs.documents.identity import canonical_json
from llm_jobs.documents.json_value import JsonValue


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where a request goes, as far as it is identity: no key, no query with secrets."""

    provider: str  # the provider's kind
    base_url: str  # normalised; empty for providers without one
    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)  # only those that change behaviour
    identity_url: str | None = None  # stands in for base_url in the identity, pinned by the catalogue
    digest: str | None = None  # of the model's weights, where the provider tells one
    # Header name, or `?` and a query name -> text with `${NAME}`, filled in at the call; never identity.
    credentials: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, object]:
        """The members of the call hash that the endpoint contributes."""
        members: dict[str, object] = {
            "provider": self.provider,
            "method": self.method,
            "base_url": self.identity_url or self.base_url,
            "path": self.path,
        }
        if self.headers:
            members["headers"] = dict(self.headers)
        if self.digest is not None:
            members["digest"] = self.digest
        return members


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef:
    """A model as the catalogue resolved it when the job was frozen."""

    name: str  # as asked: a catalogue name or `provider/upstream`
    provider: str
    upstream: str  # the name that the provider receives
    base_url: str
    identity_url: str | None = None
    digest: str | None = None
    key: str | None = None  # NAME of the key's variable where the document names one; never identity

    def identity(self) -> dict[str, object]:
        """The members of the job hash that the model contributes."""
        members: dict[str, object] = {
            "provider": self.provider,
            "upstream": self.upstream,
            "base_url": self.identity_url or self.base_url,
        }
        if self.digest is not None:
            members["digest"] = self.digest
        return members


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One of several models that may answer a prompt, with the parameters that it receives, its defaults included."""

    model: ModelRef
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    weight: float | None = None  # its share of a weighted set; None: the catalogue's, as it stands at each call


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """Which model answers. weighted: one of the set, by its weight, whatever their order; fallback: the first that
    answers; each: the one that the row's column `column` names."""

    kind: Literal["weighted", "fallback", "each"]
    candidates: tuple[Candidate, ...]
    column: str | None = None

    def identity(self) -> dict[str, object]:
        members = [self._candidate(candidate) for candidate in self.candidates]
        if self.kind == "weighted":
            members.sort(key=canonical_json)
        named = {} if self.column is None else {"column": self.column}
        return {"kind": self.kind, "candidates": members, **named}

    def _candidate(self, candidate: Candidate) -> dict[str, object]:
        members: dict[str, object] = {
            "model": candidate.model.identity(),
            "parameters": dict(candidate.parameters),
        }
        if self.kind == "weighted":
            members["weight"] = candidate.weight
        return members
