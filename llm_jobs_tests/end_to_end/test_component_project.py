"""A user's own Dagster project, as `create-dagster` makes it, with the wheel of this repository: from scaffold to rows.

The project has a virtual environment of its own, in which the wheel and the project are installed; the packages that
they need are those of the environment that the tests run in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
LIMIT_S = 240.0
QUIET = "telemetry: {enabled: false}\n"


@dataclass(frozen=True, kw_only=True)
class Project:
    """The project's folder, and the interpreter that it is installed for."""

    folder: Path
    python: Path

    @property
    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_JOBS_", "DAGSTER_"))}
        home = self.folder.parent
        path = f"{self.python.parent}{os.pathsep}{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        places = {"HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PATH": path}
        return kept | places | {"VIRTUAL_ENV": str(self.python.parent.parent)}

    def run(self, program: str, *arguments: str) -> str:
        """What one of Dagster's programs prints in the project."""
        done = subprocess.run(
            [str(self.python), str(PROGRAMS / program), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "llm_jobs", source / "llm_jobs", ignore=shutil.ignore_patterns("__pycache__"))
    _run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder)], source)
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture
def project(tmp_path: Path, wheel: Path) -> Project:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text(QUIET, encoding="utf-8")
    made = Project(folder=tmp_path / "demo", python=_environment(tmp_path / "environment"))
    _run([str(PROGRAMS / "create-dagster"), "project", "demo", "--no-uv-sync"], tmp_path, made.environment)
    install = [str(PROGRAMS / "uv"), "pip", "install", "--offline", "--no-deps", "--python", str(made.python)]
    _run([*install, str(wheel)], tmp_path)
    _run([*install, "--no-build-isolation", "--editable", str(made.folder)], tmp_path)
    return made


def _environment(folder: Path) -> Path:
    """An environment that sees the packages of this one, and none of its editable installs."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder)})
    (Path(packages) / "packages_of_the_tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder / "bin" / "python"


def _run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_component_is_scaffolded_checked_listed_and_answers_its_document(project: Project) -> None:
    assert "llm_jobs.LlmJob" in project.run("dg", "list", "components", "--json")
    project.run("dg", "scaffold", "defs", "llm_jobs.LlmJob", "feedback")
    folder = project.folder / "src" / "demo" / "defs" / "feedback"
    assert "type: llm_jobs.LlmJob" in (folder / "defs.yaml").read_text(encoding="utf-8")
    assert "All definitions loaded successfully" in project.run("dg", "check", "defs")
    listed = project.run("dg", "list", "defs", "--json")
    assert {"feedback/sentiment", "feedback/reply"} <= set(re.findall(r'"(?:asset_)?key": "([^"]*)"', listed))
    assert not (project.folder / "data").exists()  # nothing is asked or written to load a project

    printed = project.run("dg", "launch", "--assets", "*")
    assert "RUN_SUCCESS" in printed
    assert "Materialized value feedback reply" in printed
    materialize = ("asset", "materialize", "-m", "demo.definitions", "--select")
    assert "RUN_SUCCESS" in project.run("dagster", *materialize, "feedback/sentiment")
    results = list((project.folder / "data" / "results").glob("*/*.parquet"))
    assert len(results) == 2  # a part of the steps is a job of its own
