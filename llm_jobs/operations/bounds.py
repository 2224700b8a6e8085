"""Whether anything bounds what a model answers, and what is refused because nothing does.

A quota in tokens that is reserved by the worst case (`reserves: worst`) holds only where the worst case of each call is
known before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Step
from llm_jobs.errors import SetupError
from llm_jobs.operations.services import Services
from llm_jobs.providers.entries import CatalogueEntry
from llm_jobs.providers.tokens import output_limit


def answers_are_bounded(entry: CatalogueEntry, step: Step, parameters: Mapping[str, JsonValue] | None) -> bool:
    """Is a longest answer known? Where each row has its own parameters (None) the step does not tell."""
    if step.operation == "embeddings" or parameters is None or entry.max_output_tokens is not None:
        return True
    return (output_limit(parameters) or output_limit({"options": dict(parameters)})) is not None


def check_reserved(services: Services, step: Step, model: ModelRef, parameters: Mapping[str, JsonValue] | None) -> None:
    """Raise SetupError where the worst case is to be reserved of a model's quota, and is not known."""
    entry = services.catalogue.resolve(model.name, bare_provider=model.provider)
    quota = entry.quota
    if entry.reserves != "worst" or (quota.tokens_per_minute is None and quota.output_tokens_per_minute is None):
        return
    if not answers_are_bounded(entry, step, parameters):
        raise SetupError(
            f"{model.name} reserves the worst case of its quota (`reserves: worst`), and nothing bounds its answers to "
            f"the step {step.name}: the quota cannot be kept where an answer may have any length; state max_tokens for "
            f"the prompt, or max_output_tokens for the model in {services.settings.models_file}"
        )
