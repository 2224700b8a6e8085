"""One frozen `Settings`, read from the environment by entry points only.

Secrets are not settings: a provider looks its key up by name in the environment at the moment of the call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT_MARKER = "pyproject.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where things are and how large they may be. Paths are absolute."""

    home: Path
    database_url: str
    results_url: str
    limits_url: str  # where the counts of quotas are; the ledger's database where many machines share it
    max_document_bytes: int = 256 * 1024 * 1024
    script_timeout_s: float = 60.0
    allowed_roots: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()  # `host` or `host:port` that inputs and outputs of documents may name
    preview: bool = True  # may rows be shown in Dagster's metadata
    tasks: tuple[str, ...] = ()  # tasks of others, `module:attribute`
    task_workers: int = 1  # processes of each step that runs users' code
    task_memory_mb: int = 4096  # of each of them
    hold_above_usd: float | None = None  # documents in the inbox that may cost more wait for approval; None: none does

    @property
    def inbox(self) -> Path:
        return self.home / "inbox"

    @property
    def jobs(self) -> Path:
        return self.home / "jobs"

    @property
    def inputs(self) -> Path:
        return self.home / "inputs"

    @property
    def rejected(self) -> Path:
        return self.home / "rejected"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def recurring(self) -> Path:
        return self.home / "recurring"

    @property
    def documents(self) -> Path:
        return self.home / "documents"

    @property
    def templates(self) -> Path:
        return self.home / "templates"

    @property
    def stacks(self) -> Path:
        return self.home / "stacks"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def scripts(self) -> Path:
        return self.home / "scripts"

    @property
    def prompts(self) -> Path:
        return self.home / "prompts"

    @property
    def models(self) -> Path:
        """Of models that work in this process, a folder each."""
        return self.home / "models"

    @property
    def models_file(self) -> Path:
        return self.home / "models.yaml"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, working_directory: Path) -> Settings:
        """Settings from `LLM_JOBS_HOME`, `LLM_JOBS_DATABASE_URL`, `LLM_JOBS_RESULTS_URL`, `LLM_JOBS_LIMITS_URL`,
        `LLM_JOBS_ALLOWED_ROOTS`, `LLM_JOBS_ALLOWED_HOSTS` (separated by commas), `LLM_JOBS_PREVIEW` (`off`: no row is
        shown in Dagster's metadata),
        `LLM_JOBS_HOLD_ABOVE_USD` (what is no amount is 0: everything that costs is held), `LLM_JOBS_TASKS` (separated
        by commas), `LLM_JOBS_TASK_WORKERS`, `LLM_JOBS_TASK_MEMORY_MB` (what is no number is the default).

        The home folder defaults to `data/` of the project that `working_directory` is in, else `data/` under it.
        """
        stated = environment.get("LLM_JOBS_HOME")
        home = Path(stated).expanduser() if stated else project_folder(working_directory) / "data"
        home = (working_directory / home).resolve()
        roots = environment.get("LLM_JOBS_ALLOWED_ROOTS", "")
        hosts = environment.get("LLM_JOBS_ALLOWED_HOSTS", "")
        database_url = environment.get("LLM_JOBS_DATABASE_URL") or f"sqlite:///{home / 'ledger.db'}"
        is_shared = not database_url.startswith("sqlite:")
        return cls(
            home=home,
            database_url=database_url,
            results_url=environment.get("LLM_JOBS_RESULTS_URL") or str(home / "results"),
            limits_url=environment.get("LLM_JOBS_LIMITS_URL")
            or (database_url if is_shared else f"sqlite:///{home / 'limits.db'}"),
            allowed_roots=tuple(Path(root).resolve() for root in roots.split(":") if root),
            allowed_hosts=tuple(host.strip().lower() for host in hosts.split(",") if host.strip()),
            preview=environment.get("LLM_JOBS_PREVIEW", "on") != "off",
            hold_above_usd=_usd(environment, "LLM_JOBS_HOLD_ABOVE_USD"),
            tasks=tuple(name.strip() for name in environment.get("LLM_JOBS_TASKS", "").split(",") if name.strip()),
            task_workers=_whole(environment, "LLM_JOBS_TASK_WORKERS", 1),
            task_memory_mb=_whole(environment, "LLM_JOBS_TASK_MEMORY_MB", 4096),
        )


def project_folder(working_directory: Path) -> Path:
    """The nearest folder at or above `working_directory` that holds a `pyproject.toml`, else itself."""
    for folder in (working_directory, *working_directory.parents):
        if (folder / PROJECT_MARKER).exists():
            return folder
    return working_directory


def _usd(environment: Mapping[str, str], name: str) -> float | None:
    """An amount of dollars, 0 for what is none; None where the variable is not set."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        amount = float(text.removeprefix("$"))
    except ValueError:
        return 0.0
    return amount if 0 < amount < math.inf else 0.0


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    """A whole number of at least 1; the default for what is none."""
    text = environment.get(name, "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else default
