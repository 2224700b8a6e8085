"""A running Dagster: web server, daemon and code server in processes of their own, as `make ui` starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

import dagster as dg

from llm_jobs.operations.describe import latest_jobs
from llm_jobs.operations.records import JobLine
from llm_jobs.operations.services import open_services
from llm_jobs.orchestration.instances import open_instance
from llm_jobs.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0  # how long is too long on two busy cores; nothing waits so long that goes well
POLL_S = 0.2
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Dagster at `url`, its instance as this process sees it, and the home folder that it serves."""

    url: str
    instance: dg.DagsterInstance
    settings: Settings
    environment: Mapping[str, str]

    def drop(self, name: str, text: str) -> None:
        """Move a whole file into the inbox."""
        draft = self.settings.home / name
        draft.write_text(text, encoding="utf-8")
        draft.rename(self.settings.inbox / name)

    def ask(self, query: str, variables: Mapping[str, object] | None = None) -> Any:
        """What GraphQL answers."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = Request(f"{self.url}/graphql", data=body, headers={"content-type": "application/json"})
        with urlopen(request, timeout=60) as response:
            told = json.load(response)
        assert "errors" not in told, told["errors"]
        return told["data"]

    def command(self, *arguments: str) -> str:
        """Run a program of the virtual environment in the project's folder."""
        program = Path(sys.executable).with_name(arguments[0])
        done = subprocess.run(
            [str(program), *arguments[1:]], env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def lines(self) -> dict[str, JobLine]:
        """The latest jobs by name."""
        with open_services(self.settings, environment=self.environment, working_directory=ROOT) as services:
            return {line.name: line for line in reversed(latest_jobs(services, 100))}

    def ended(self, *names: str) -> dict[str, JobLine]:
        """The lines of the jobs called `names`, once each has a result."""

        def all_ended() -> dict[str, JobLine] | None:
            lines = self.lines()
            found = {name: lines[name] for name in names if name in lines and lines[name].result is not None}
            return found if len(found) == len(names) else None

        return until(all_ended)


def until(look: Callable[[], T | None]) -> T:
    """What `look` finds, as soon as it finds something that counts as true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"nothing came of {look} in {PATIENCE_S:.0f} s")


@contextmanager
def running_dagster(folder: Path, environment: Mapping[str, str]) -> Iterator[Page]:
    """`dagster dev` over a fresh home in `folder`, ended with everything that it started."""
    home, dagster_home, port = folder / "home", folder / "dagster", free_port()
    places = {"LLM_JOBS_HOME": str(home), "DAGSTER_HOME": str(dagster_home)}
    settings = Settings.from_environment({**environment, **places}, working_directory=ROOT)
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", "workspace.yaml", "--port", str(port)]
    everything = {**os.environ, **environment, **places}
    with open_instance(dagster_home) as instance, (folder / "dagster.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=everything, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        page = Page(url=f"http://127.0.0.1:{port}", instance=instance, settings=settings, environment=everything)
        try:
            until(lambda: _is_up(page) or None if process.poll() is None else _raise_ended(folder))
            yield page
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # `dagster dev` ignores TERM in the background
            process.wait()


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def _is_up(page: Page) -> bool:
    """The page answers and a sensor ticked: the daemon and the code server are there too."""
    with suppress(OSError):
        return bool(page.ask("{ version }")) and page.settings.inbox.is_dir()
    return False


def _raise_ended(folder: Path) -> None:
    raise AssertionError((folder / "dagster.log").read_text(encoding="utf-8")[-4000:])
