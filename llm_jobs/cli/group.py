"""A click group whose commands are imported when they are asked for, and whose errors become exit codes.

Every command runs inside `Commands.main`, so that what a person sees of an error is decided in one place (`exits`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from llm_jobs.cli.exits import guarded, reader_left
from llm_jobs.importing import imported


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A command that is not imported yet: the module of this package that holds it as `command`, and its short help."""

    module: str
    help: str


class Commands(click.Group):
    """Commands by name, loaded lazily. Aliases work like the command they stand for and are not listed."""

    def __init__(self, *, listed: Mapping[str, Listed], aliases: Mapping[str, str], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._listed = listed
        self._aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        listed = self._listed.get(self._aliases.get(cmd_name, cmd_name))
        if listed is None:
            return None
        command = imported(f"llm_jobs.cli.{listed.module}").command
        gc.freeze()  # this process is ours: what is imported stays to its end, and is not looked at again
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.help) for name, listed in self._listed.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, but a reader that left is told here: click would make it exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return reader_left()

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As click's, but returns (or, in standalone mode, exits with) the exit code of the project."""
        plain: Callable[..., Any] = super().main
        code = guarded(lambda: plain(*args, standalone_mode=False, **extra), obj=extra.get("obj"))
        if standalone_mode:
            raise SystemExit(code)
        return code
