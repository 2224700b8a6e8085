"""From the names of models that may answer one prompt to candidates: what the catalogue says of each, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llm_jobs.documents.job import AnswerStatus, FollowUp
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate, ModelChoice
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.operations.model_digest import with_digest
from llm_jobs.operations.placing import key_place, not_found
from llm_jobs.operations.services import Services
from llm_jobs.providers.entries import CatalogueEntry

Rules = Mapping[AnswerStatus, tuple[FollowUp, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """One prompt, and the parameters that the document gives it."""

    services: Services
    document: ParsedDocument
    parsed: ParsedPrompt
    given: Mapping[str, JsonValue]

    def candidate(self, entry: CatalogueEntry, *, weight: float | None = None) -> Candidate:
        """A model of the catalogue with the parameters that it receives. Raises DocumentError for one it refuses."""
        operation = self.parsed.operation
        problems = self.services.catalogue.check_parameters(entry, operation, self.given)
        if problems:
            raise DocumentError([self._placed(problem) for problem in problems])
        return Candidate(
            model=with_digest(self.services, entry.model),
            parameters=entry.with_defaults(operation, self.given),
            weight=weight,
        )

    def choice(self) -> ModelChoice | None:
        """The models that the prompt names, where it names several."""
        parsed = self.parsed.choice
        if parsed is None:
            return None
        candidates = tuple(self._named(name, weight=weight) for name, weight in parsed.models)
        return ModelChoice(kind=parsed.kind, candidates=_distinct(self, candidates), column=parsed.column)

    def rules(self, rules: Rules, *, most_tokens: int | None) -> Rules:
        """The same rules, with the models that they name. `most_tokens`: the longest answer that the models write."""
        return {status: tuple(self._rule(rule, most_tokens) for rule in listed) for status, listed in rules.items()}

    def longest_answer(self, entry: CatalogueEntry) -> int | None:
        """The most tokens that any of the prompt's models writes in one answer; None where one does not state it."""
        names = [name for name, _ in self.parsed.choice.models] if self.parsed.choice else []
        entries = [self._entry(name) for name in names] or [entry]
        stated = [each.max_output_tokens for each in entries if each.max_output_tokens is not None]
        return max(stated) if len(stated) == len(entries) else None

    def problem(self, what: str, *, rule: str, remedy: str) -> DocumentError:
        return DocumentError([self.document.problem(self.parsed.at, what, rule=rule, remedy=remedy)])

    def _rule(self, rule: FollowUp, most_tokens: int | None) -> FollowUp:
        if most_tokens is not None and rule.factor is not None:
            return replace(rule, up_to=min(most_tokens, rule.up_to or most_tokens))
        if most_tokens is not None and (rule.max_tokens or 0) > most_tokens:
            raise self.problem(
                f"a truncated answer is to be asked again with {rule.max_tokens} tokens",
                rule=f"the longest answer of the model has {most_tokens} (max_output_tokens of the catalogue)",
                remedy="write a smaller limit, or `model: NAME` with a model that writes more",
            )
        if rule.model is None:
            return rule
        if self.parsed.command is not None:
            raise self.problem(
                f"another model ({rule.model}) is to answer a request that a script made",
                rule="such a request is for one model",
                remedy="write another rule, or leave the script out",
            )
        return replace(rule, candidate=self._named(rule.model))

    def _named(self, name: str, *, weight: float | None = None) -> Candidate:
        return self.candidate(self._entry(name), weight=weight)

    def _entry(self, name: str) -> CatalogueEntry:
        try:
            return self.services.catalogue.resolve(name)
        except NotFound as error:
            raise DocumentError([not_found(self.document, self.parsed, error)]) from None

    def _placed(self, problem: Problem) -> Problem:
        place = key_place(self.services, self.document, self.parsed, (problem.key or "").partition(".")[0])
        source, at = place or (self.document.source, self.parsed.at)
        placed = source.problem(at, problem.what, rule=problem.rule, remedy=problem.remedy)
        return replace(placed, key=placed.key if place else problem.key, value=problem.value)


def _distinct(asking: Asking, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Raises DocumentError where two names are one model: its answers would be one call."""
    seen: dict[tuple[str, str, str], str] = {}
    for candidate in candidates:
        model = candidate.model
        place = (model.provider, model.upstream, model.identity_url or model.base_url)
        if place in seen:
            raise asking.problem(
                f"{seen[place]} and {model.name} are the same model",
                rule="each model of a choice is another one",
                remedy="remove one of the two",
            )
        seen[place] = model.name
    return tuple(candidates)
