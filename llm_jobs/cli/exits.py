"""Exit codes, and what a person sees of an error: its message, one problem per line, on standard error.

0    done
1    some rows failed: a partial or failed job, damage found by `verify`
2    bad usage or document
3    environment: no key, no server, a database that cannot be used
70   a mistake of the program itself: its traceback, without secrets
130  stopped with Ctrl-C
141  whoever read the output stopped reading
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import visible
from llm_jobs.errors import (
    DocumentError,
    ImmutableError,
    IntegrityError,
    LlmJobsError,
    NotFound,
    Problem,
    SetupError,
)
from llm_jobs.operations.scrubbing import without_secrets

DONE = 0
ROWS_FAILED = 1
BAD_DOCUMENT = 2
ENVIRONMENT = 3
PROGRAM = 70
STOPPED = 130
PIPE_CLOSED = 141


def guarded(call: Callable[[], Any], *, obj: object = None) -> int:
    """The exit code of `call`, a click program in which nothing is caught; errors are printed."""
    try:
        return _code(call())
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        error.show()
        return BAD_DOCUMENT
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        return STOPPED
    except LlmJobsError as error:
        return told(error)
    except BrokenPipeError:
        return reader_left()
    except OSError as error:
        return told(SetupError(f"{error.filename or 'the system'}: {error.strerror or error}"))
    except Exception:  # noqa: BLE001 - the outermost door: nothing above it could tell the user
        environment = obj.environment if isinstance(obj, Entry) else os.environ
        click.echo(without_secrets(traceback.format_exc(), environment), err=True)
        return PROGRAM


def _code(returned: object) -> int:
    return returned if isinstance(returned, int) else DONE


def told(error: LlmJobsError) -> int:
    """Print `error` on standard error; returns the exit code that its class decides."""
    for line in str(error).splitlines():
        click.echo(f"error: {visible(line)}", err=True)
    return code_of(error)


def code_of(error: LlmJobsError) -> int:
    """The exit code that the class of an error decides."""
    if isinstance(error, DocumentError | NotFound | ImmutableError):
        return BAD_DOCUMENT
    return ROWS_FAILED if isinstance(error, IntegrityError) else ENVIRONMENT


def problems_of(error: LlmJobsError) -> list[dict[str, Any]]:
    """What an error says, as the members of JSON: what, file, line, column, key, value, rule, remedy."""
    if isinstance(error, DocumentError):
        return [asdict(problem) for problem in error.problems]
    if isinstance(error, NotFound):
        return [asdict(Problem(what=error.what, value=error.name, rule=error.rule, remedy=error.remedy))]
    return [asdict(Problem(what=str(error)))]


def reader_left() -> int:
    """The exit code for an output that nobody reads; what is still buffered would raise again at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return PIPE_CLOSED
