"""What a command is given: the environment and the working directory, and from them settings and open services.

The only place of the command line that reads either. Heavy rooms are imported by the commands that need them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llm_jobs.settings import Settings

if TYPE_CHECKING:
    from llm_jobs.operations.services import Services


@dataclass(frozen=True, slots=True)
class Entry:
    """The process as its user started it."""

    environment: Mapping[str, str] = field(repr=False)
    working_directory: Path

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment, working_directory=self.working_directory)

    @property
    def dagster_home(self) -> Path:
        """`DAGSTER_HOME`, else `dagster/` in the home folder. Absolute."""
        stated = self.environment.get("DAGSTER_HOME")
        return self.working_directory / Path(stated).expanduser() if stated else self.settings.home / "dagster"

    def open_services(self) -> AbstractContextManager[Services]:
        """Services of the home folder, closed on leaving. Raises SetupError or DocumentError."""
        # SQLAlchemy and the providers take half a second to import; `--help` and `origin` do not need them.
        from llm_jobs.operations.services import open_services

        return open_services(self.settings, environment=self.environment, working_directory=self.working_directory)
