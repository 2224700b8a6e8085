"""A model's key goes to that model's hosts and to no other server, whatever a document writes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llm_jobs.errors import DocumentError, Problem
from llm_jobs.operations.services import Services

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def refuse_model_keys(services: Services, texts: Iterable[str], *, place: str) -> None:
    """Raise DocumentError where `texts` of a document, which are sent to `place`, name the key of a model."""
    named = {name for text in texts for name in REFERENCE.findall(text)}
    if keys := services.catalogue.key_names() & named:
        problem = Problem(
            what=f"{', '.join(sorted(keys))} is the key of a model and would be sent to another server",
            value=place,
            rule="a model's key goes only to the hosts that the model catalogue lists for it",
            remedy="name another variable, which holds the credential of this server",
        )
        raise DocumentError([problem])
