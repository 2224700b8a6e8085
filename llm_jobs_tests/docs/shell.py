"""A new user's shell: a project as it is after the first `make`, and bash that runs block after block.

What one block exports or activates holds for the next, as in a terminal. The virtual environment is the tests' own
under another name, marked as made, so that make installs nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from llm_jobs_tests.docs.pages import ROOT

FILES = ("Makefile", "README.md", "pyproject.toml", "dagster.yaml", "workspace.yaml", "execute.py")
FOLDERS = ("examples", "requirements")
HOME_FILES = ("README.md", "models.yaml", "prompts", "scripts")
PATIENCE_S = 90.0
BLOCK_S = 120.0
OURS = re.compile(r"(LLM_JOBS|OPENAI|ANTHROPIC|OLLAMA|DAGSTER|AWS)_|MAKE|MFLAGS|VIRTUAL_ENV|PYTEST|PORT$")


def new_project(folder: Path) -> None:
    """Fill `folder` with what a user has after the first `make`."""
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for name in HOME_FILES:
        source, target = ROOT / "data" / name, folder / "data" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    environment = folder / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    (environment / ".run").touch()


def clean_environment() -> dict[str, str]:
    """This process's environment without the virtual environment, make's variables and any setting of ours."""
    kept = {name: value for name, value in os.environ.items() if not OURS.match(name)}
    folders = kept["PATH"].split(os.pathsep)
    return kept | {"PATH": os.pathsep.join(each for each in folders if Path(each) != Path(sys.prefix) / "bin")}


@dataclass(slots=True)
class Shell:
    """Bash in `folder`. `environment` is what the blocks before have left."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    def run(self, text: str) -> str:
        """Run `text`; returns what it printed. Fails if a command fails."""
        left = self.folder / ".environment"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{text}\nenv -0 >{left}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_S,
            check=False,
        )
        assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}"
        pairs = (line.partition("=") for line in left.read_text().split("\0") if line)
        self.environment = {name: value for name, _, value in pairs}
        return done.stdout

    @contextmanager
    def serving(self, command: str, *, url: str) -> Iterator[None]:
        """Keep `command` running, from when `url` answers to the end of the block; then end all that it started."""
        with (self.folder / "serving.log").open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                wait_until(lambda: _answers(url), told_by=self.folder / "serving.log")
                yield
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # `dagster dev` ignores TERM in the background
                process.wait()


def wait_until(condition: Callable[[], bool], *, told_by: Path) -> None:
    """Wait until `condition` holds; fails with the end of the log `told_by`."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, told_by.read_text()[-4000:]
        time.sleep(0.3)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
