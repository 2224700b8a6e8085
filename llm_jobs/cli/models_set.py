"""`llm-jobs models set`: change what a model allows, weighs or costs, in every process within a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import cell, compact_json


class Number(click.ParamType[object]):
    """A number, `none` (no limit) or `default` (what models.yaml says). Which numbers may be is the operation's."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        text = str(value).strip().lower()
        if text in ("none", "default"):
            return text
        for read in (int, float):
            try:
                return read(text)
            except ValueError:
                continue
        return self.fail(f"{value!r} is neither a number nor `none` nor `default`", param, ctx)


# option, member of a definition, help
_OPTIONS = (
    ("--rpm", "requests_per_minute", "Requests per minute."),
    ("--tpm", "tokens_per_minute", "Tokens per minute, input and output together."),
    ("--itpm", "input_tokens_per_minute", "Input tokens per minute."),
    ("--otpm", "output_tokens_per_minute", "Output tokens per minute."),
    ("--rpd", "requests_per_day", "Requests per day."),
    ("--concurrency", "concurrency", "Calls at once, of all processes together."),
    ("--burst", "burst_s", "Seconds' worth of the quota that may be used at once."),
    ("--weight", "weight", "Share in a weighted set of models."),
    ("--price-in", "input_per_million_usd", "USD per million input tokens."),
    ("--price-out", "output_per_million_usd", "USD per million output tokens."),
    ("--price-cached", "cached_input_per_million_usd", "USD per million cached input tokens."),
    ("--price-write", "cache_write_per_million_usd", "USD per million input tokens written to the vendor's cache."),
    ("--price-write-1h", "cache_write_1h_per_million_usd", "USD per million input tokens written there for an hour."),
)


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for flag, member, text in reversed(_OPTIONS):
        function = click.option(flag, member, type=Number(), metavar="N", help=text)(function)
    return function


@click.command(
    "set",
    short_help="Set what a model allows, weighs or costs, while jobs run.",
    epilog="""\b
Examples:
  llm-jobs models set simulated --rpm 3000 --tpm 200000
  llm-jobs models set simulated --concurrency none --why "a machine of its own"
  llm-jobs models set simulated --rpm default""",
)
@click.argument("model")
@_with_options
@click.option("--why", metavar="TEXT", help="A reason, for `llm-jobs models history`.")
@click.option("--json", "as_json", is_flag=True, help="Print what is in force as one line of JSON and nothing else.")
@click.pass_obj
def set_values(entry: Entry, /, model: str, why: str | None, as_json: bool, **given: object) -> None:
    """Set what MODEL allows, weighs or costs. Every process goes by it within a second, with no restart.

    `none` removes a limit; `default` goes back to what models.yaml says. What is not given stays.
    """
    # SQLAlchemy takes a third of a second to import, which `--help` does not need.
    from llm_jobs.operations.inventories import model_row
    from llm_jobs.operations.models import set_model

    definition = {name: None if value == "none" else value for name, value in given.items() if value is not None}
    with entry.open_services() as services:
        set_model(services, model, definition, why=why)
        row = model_row(services, model)
    if as_json:
        click.echo(compact_json(row))
        return
    said = "; ".join(f"{name} {cell(value)}" for name, value in row.items() if value is not None and name != "model")
    click.echo(f"{cell(model)}: {said}")
