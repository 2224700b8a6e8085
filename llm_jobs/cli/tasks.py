"""`llm-jobs tasks`: the steps that are ready to use, with what they take and give."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import cell, compact_json, visible
from llm_jobs.operations.task_list import facts_of, task_facts, task_schema

COLUMNS = ("name", "category", "inputs", "outputs", "description")


@click.command(
    "tasks",
    short_help="List the tasks that steps may name, with their inputs and outputs.",
    epilog="""\b
Examples:
  llm-jobs tasks
  llm-jobs tasks text_summary
  llm-jobs tasks markdown_parse --schema
  llm-jobs tasks --category code --json""",
)
@click.argument("name", required=False)
@click.option("--category", metavar="C", help="Only tasks of this category: text, data, code, model, output, …")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the inputs of NAME.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per task and nothing else.")
@click.pass_obj
def command(entry: Entry, name: str | None, category: str | None, schema: bool, as_json: bool) -> None:
    """List the tasks that steps may name, or tell what NAME takes and gives; spends nothing.

    A step `{name: short, task: text_summary}` runs one over every row. An input that is left out is its default, else
    the column of its name. Tasks of other packages are listed too (see LLM_JOBS_TASKS).
    """
    if schema and name is None:
        raise click.UsageError("--schema prints the inputs of one task: name it")
    with entry.open_services() as services:
        task = None if name is None else services.tasks.get(name)
        facts = task_facts(services, category=category) if task is None else [facts_of(task)]
    if schema and task is not None:
        click.echo(compact_json(task_schema(task)))
    elif as_json:
        for each in facts:
            click.echo(compact_json(each))
    elif task is not None:
        _print_one(facts[0])
    else:
        # Rich takes a tenth of a second to import, which --json does not need.
        from llm_jobs.cli.tables import print_table

        print_table(list(COLUMNS), [[cell(_shown(each[column])) for column in COLUMNS] for each in facts])


def _shown(value: object) -> object:
    """Names alone, of inputs and outputs; the output of the step's own name is a dash."""
    return ", ".join(name or "–" for name in value) if isinstance(value, dict) else value


def _print_one(facts: Mapping[str, object]) -> None:
    for key, value in facts.items():
        if isinstance(value, dict) and key in ("inputs", "outputs"):
            click.echo(f"{key}:")
            for name, schema in value.items():
                click.echo(f"  {name or '(the step itself)'}: {compact_json(schema)}")
        else:
            click.echo(f"{key}: {visible(value) if isinstance(value, str) else json.dumps(value)}")
