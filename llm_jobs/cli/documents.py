"""What may be said over DOCUMENT arguments: the options of `run` and `validate`, handed over as one `Overrides`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from llm_jobs.documents.choices import read_parameters
from llm_jobs.operations.overrides import Overrides

_OPTIONS = (
    click.option("--model", "models", multiple=True, metavar="M", help="Ask this model; several make several jobs."),
    click.option("--profile", metavar="P", help="Take the document's profile P."),
    click.option("--param", "parameters", multiple=True, metavar="K=V", help="Set a parameter, e.g. temperature=0.5."),
    click.option("--input", "input_", metavar="FILE", help="Ask about the rows of FILE instead of the document's."),
    click.option("--epoch", metavar="E", help="Ask again under this label, e.g. 2026-W47."),
    click.option("--concurrency", type=click.IntRange(1, 10_000), metavar="N", help="Calls in flight per job."),
)


def document_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options over a document, handed to the command as `overrides`."""

    @wraps(function)
    def with_overrides(*passed: Any, **given: Any) -> Any:
        overrides = Overrides(
            models=tuple(dict.fromkeys(given.pop("models"))),
            profile=given.pop("profile"),
            parameters=read_parameters(given.pop("parameters")),
            input=given.pop("input_"),
            epoch=given.pop("epoch"),
            concurrency=given.pop("concurrency"),
        )
        return function(*passed, overrides=overrides, **given)

    decorated: Callable[..., Any] = with_overrides
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
