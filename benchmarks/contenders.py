"""The clients that are measured: which program, in which environment, how many calls."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """`module` is run with `URL CALLS CONCURRENCY FOLDER`. `environment` names a file of `peers/`; None is ours."""

    name: str
    module: str
    keeps: str  # what is left when it has ended
    environment: str | None = None


BARE = Client(name="bare loop", module="benchmarks.clients.bare", keeps="nothing")
OURS = Client(name="llm-jobs below Dagster", module="benchmarks.clients.ours", keeps="ledger, quotas, Parquet")
DAGSTER = Client(
    name="llm-jobs run", module="benchmarks.clients.through_dagster", keeps="ledger, quotas, Parquet, Dagster run"
)
OTHERS = (
    Client(name="openai SDK, aiohttp", module="benchmarks.clients.openai_sdk", keeps="nothing", environment="openai"),
    Client(name="litellm", module="benchmarks.clients.litellm_calls", keeps="nothing", environment="litellm"),
    Client(name="curator", module="benchmarks.clients.curator", keeps="cache, Arrow", environment="curator"),
)


class NotInstalled(Exception):
    """A peer's packages could not be installed; the message is pip's last line."""


def python_of(environment: str | None, *, folder: Path) -> str:
    """The interpreter of an environment, made in `folder` where it is not there. Raises NotInstalled."""
    if environment is None:
        return sys.executable
    home = folder / environment
    python = home / "bin" / "python"
    mark = home / ".installed"
    wanted = (PEERS / f"{environment}.txt").read_text(encoding="utf-8")
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return str(python)
    venv.create(home, with_pip=True, symlinks=True, clear=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]
    done = subprocess.run([*install, str(PEERS / f"{environment}.txt")], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotInstalled((done.stderr.strip().splitlines() or ["pip failed"])[-1])
    mark.write_text(wanted, encoding="utf-8")
    return str(python)
