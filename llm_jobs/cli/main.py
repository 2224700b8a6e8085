"""The door `llm-jobs`: the list of its commands. Each is a file of its own, imported when it is asked for.

`llm-jobs --help` imports none of them, so their one-line helps stand here; a test holds them equal to the commands'.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.group import Commands, Listed

COMMANDS = {
    "run": Listed(module="run", help="Run documents, or jobs submitted before, and wait for their results."),
    "submit": Listed(module="submit", help="Place documents in the inbox, where a running instance answers them."),
    "create-job-from-template": Listed(
        module="create_job_from_template", help="Make a job document of a template, with its parameters filled in."
    ),
    "explain": Listed(module="explain", help="Print the resolved job of a document, with where each value comes from."),
    "graph": Listed(module="graph", help="Draw the graph of a document, or print it as Mermaid, JSON, YAML or Python."),
    "lock": Listed(module="lock", help="Pin the versions of prompts, stacks and models that a document means."),
    "validate": Listed(module="validate", help="Check documents and show what would be asked; spends nothing."),
    "schema": Listed(module="schema", help="Print the JSON Schema of documents, for editors."),
    "plan": Listed(
        module="plan", help="Show what a document would ask and cost, and what a change of it costs; spends nothing."
    ),
    "why": Listed(module="why", help="Tell why a row would be asked again, or that it is answered; spends nothing."),
    "status": Listed(module="status", help="List the latest jobs, or tell what is known of one."),
    "approve": Listed(module="approve", help="Let a job that is held for its estimate be launched."),
    "priority": Listed(module="priority", help="Put a submitted job before others, or behind them."),
    "budgets": Listed(module="budgets", help="Show what each budget has spent, what is reserved, and its cap."),
    "results": Listed(module="results", help="Print or save the newest result of a job."),
    "compare": Listed(module="compare", help="Set the answers of several jobs side by side, row by row."),
    "report": Listed(
        module="report", help="Make one HTML page of a result: figures, plots, prompts, rows and answers."
    ),
    "deliver": Listed(
        module="deliver", help="Hand the newest results of jobs to their destinations again; asks no model."
    ),
    "show": Listed(module="show", help="Show the exact request and the raw answer of one row."),
    "find": Listed(module="find", help="Print where the results of a submitted file lie; opens no file."),
    "origin": Listed(module="origin", help="Print the job that a result belongs to; opens no file."),
    "verify": Listed(module="verify", help="Recompute digests and audit the ledger."),
    "usage": Listed(module="usage", help="Tell what was spent, by day, model, job, label or submitter."),
    "batches": Listed(module="batches", help="List the vendors' batches, poll them, or forget one."),
    "move": Listed(module="move", help="Have a submitted job asked online, or in batches at half the price."),
    "models": Listed(module="models", help="List the models of the catalogue, or set what one allows."),
    "tasks": Listed(module="tasks", help="List the tasks that steps may name, with their inputs and outputs."),
    "prompts": Listed(module="prompts", help="List the prompts of the library."),
    "stacks": Listed(module="stacks", help="List the stacks of the home folder, with their parameters."),
    "templates": Listed(module="templates", help="List the templates of the home folder, with their parameters."),
}
ALIASES = {"run-job": "run"}


@click.group(
    cls=Commands,
    listed=COMMANDS,
    aliases=ALIASES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example:  llm-jobs run examples/reviews.yaml",
)
@click.version_option(package_name="llm-jobs", prog_name="llm-jobs")
def cli() -> None:
    """Run language-model jobs in bulk: every prompt is paid for once, every answer is kept.

    Exit codes: 0 done, 1 some rows failed, 2 bad usage or document, 3 environment (no key, no server), 130 stopped.
    """


def main(*arguments: str) -> None:
    """The console script; `arguments` stand before those of the command line. Never returns."""
    entry = Entry(os.environ, Path.cwd())
    sys.exit(cli.main([*arguments, *sys.argv[1:]], prog_name="llm-jobs", standalone_mode=False, obj=entry))
