"""A user's own Dagster project with the wheel of this repository: the component is scaffolded, and runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DG = str(Path(sys.executable).with_name("dg"))
LIMIT_S = 240.0

# As `create-dagster project` writes it.
PYPROJECT = """
[project]
name = "demo"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "demo"
registry_modules = ["demo.components.*"]
"""
DEFINITIONS = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as an installer unpacks it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "llm_jobs", source / "llm_jobs", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=LIMIT_S)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    package = folder / "src" / "demo"
    (package / "defs").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    return folder


def dg(project: Path, installed: Path, *arguments: str) -> str:
    """What a command of Dagster's prints in the project; it sees the wheel before this repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLM_JOBS_")} | {
        "PYTHONPATH": f"{installed}{os.pathsep}{project / 'src'}",
        "DAGSTER_HOME": str(project.parent / "dagster"),
        "HOME": str(project.parent),
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, DG, *arguments]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_component_is_scaffolded_from_the_wheel_and_answers_its_document(project: Path, installed: Path) -> None:
    assert "llm_jobs.LlmJob" in dg(project, installed, "list", "components", "--json")
    dg(project, installed, "scaffold", "defs", "llm_jobs.LlmJob", "feedback")
    folder = project / "src" / "demo" / "defs" / "feedback"
    assert "type: llm_jobs.LlmJob" in (folder / "defs.yaml").read_text(encoding="utf-8")
    printed = dg(project, installed, "launch", "--assets", "*")
    assert "RUN_SUCCESS" in printed
    assert "Materialized value feedback reply" in printed
    assert len(list((project / "data" / "results").glob("*/*.parquet"))) == 1
