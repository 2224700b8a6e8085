"""The rules of the house that no single room can keep alone: imports, charters, what is shipped, what is named."""

from __future__ import annotations

import ast
import email.parser
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "llm_jobs"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOM_FILES = [path for path in MODULES if path.name == "__init__.py" and path.parent != PACKAGE]
TESTS = sorted((ROOT / "llm_jobs_tests").rglob("*.py"))

# Dagster's entry point builds what it serves when it is imported; every other module only defines.
DEFINITIONS = "llm_jobs.definitions"

# Run in a fresh interpreter. An effect belongs to us when our own frame is met before an import's: what a third
# party does while it is being imported is not ours to forbid.
WATCHED_IMPORT = f"""
import importlib, os, pkgutil, sys

def culprit(*, but_through=()):
    frame = sys._getframe(2)
    while frame is not None and not any(part in frame.f_code.co_filename for part in ("importlib", *but_through)):
        if frame.f_globals.get("__name__", "").startswith("llm_jobs"):
            return frame.f_globals["__name__"]
        frame = frame.f_back
    return None

def audit(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    acts = event.startswith(("socket.", "subprocess.", "shutil.", "sqlite3.", "os.mkdir", "os.remove", "os.rename"))
    if (writes or acts) and culprit():
        effects.append(f"{{culprit()}}: {{event}} {{arguments}}")

class WatchedEnvironment(os._Environ):
    def __getitem__(self, key):
        # pydantic reads its own switches whenever a model is defined
        if reader := culprit(but_through=["site-packages"]):
            effects.append(f"{{reader}}: reads the environment, {{key}}")
        return super().__getitem__(key)

effects = []
sys.addaudithook(audit)
os.environ.__class__ = WatchedEnvironment
import llm_jobs
names = [module.name for module in pkgutil.walk_packages(llm_jobs.__path__, "llm_jobs.")]
for name in names:
    if name != "{DEFINITIONS}" and not name.endswith("__main__"):
        importlib.import_module(name)
assert len(names) > 20, names
print("\\n".join(effects))
"""


def python(code: str, *, folder: Path) -> str:
    """What `code` prints in a fresh interpreter whose working directory is `folder`."""
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked_files() -> Iterator[Path]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def test_each_room_imports_only_what_it_may() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", ROOM_FILES, ids=lambda path: path.parent.name)
def test_a_room_opens_with_nothing_but_a_docstring(path: Path) -> None:
    statements = ast.parse(path.read_text()).body
    assert all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in statements[:1])
    assert statements[1:] == []


def test_every_module_opens_with_its_charter() -> None:
    without = [
        path for path in MODULES if path not in ROOM_FILES and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert without == []


def test_importing_any_room_writes_nothing_asks_nothing_and_reads_no_environment(tmp_path: Path) -> None:
    assert python(WATCHED_IMPORT, folder=tmp_path).strip() == ""
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_is_quick(tmp_path: Path) -> None:
    heavy = {"dagster", "pandas", "pyarrow", "sqlalchemy", "aiohttp", "openai", "pydantic"}
    loaded = python("import sys, llm_jobs; print(*sys.modules)", folder=tmp_path).split()
    assert heavy.intersection(loaded) == set()


def test_no_test_is_left_out() -> None:
    names = re.compile(r"(pytest|unittest)\..*(skip|skipif|importorskip|xfail|SkipTest)")
    found = [
        f"{path}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and names.fullmatch(ast.unparse(node))
    ]
    assert found == []


def private_names() -> set[str]:
    """What only this machine would call so: where the project and its user live, whence packages come."""
    folders = {ROOT, Path.home()} | ({ROOT.parent} - {Path("/"), Path(tempfile.gettempdir())})
    command = [sys.executable, "-m", "pip", "config", "list"]
    configured = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stated = re.findall(r"(?:find-links|index-url|find_links|index_url)='([^']+)'", configured.replace("\\n", " "))
    stated += [value for key, value in os.environ.items() if re.fullmatch(r"(PIP|UV)_.*(INDEX|FIND_LINKS).*", key)]
    return {f"{folder}/" for folder in folders} | {word for text in stated for word in text.split()}


def test_no_file_names_the_machine_that_it_was_written_on() -> None:
    names = [name.encode() for name in private_names()]
    found = [(path, name) for path in tracked_files() for name in names if name in path.read_bytes()]
    assert found == []


@pytest.mark.parametrize("name", ["run.txt", "test.txt", "oldest.txt"])
def test_a_lock_file_has_hashes_for_everything_and_names_no_place(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    pins = re.findall(r"^([A-Za-z0-9_.\[\],-]+)==", text, flags=re.MULTILINE)
    assert len(pins) > 90
    assert len(re.findall(r"==[^\\\n]+\\\n    --hash=sha256:", text)) == len(pins)
    assert not re.search(r"://|^--|/(?!test\.txt|run\.txt)\w+/", text, flags=re.MULTILINE)


def test_the_oldest_dagster_is_the_one_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = map(Requirement, project["project"]["dependencies"] + project["dependency-groups"]["dev"])
    bounds = {each.name: str(each.specifier).split(">=")[1] for each in asked if "dagster" in each.name}
    locked = dict(
        re.findall(r"^(\S+)==([^\s;\\]+)", (ROOT / "requirements/oldest.txt").read_text(), flags=re.MULTILINE)
    )
    assert {name: Version(locked[name]) for name in bounds} == {name: Version(each) for name, each in bounds.items()}


def test_the_lock_files_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {
        "run.txt": project["project"]["dependencies"] + project["dependency-groups"]["build"],
        "test.txt": project["dependency-groups"]["dev"] + project["project"]["optional-dependencies"]["s3"],
        "model-server.txt": project["project"]["optional-dependencies"]["model-server"],
    }
    for name, requirements in asked.items():
        text = (ROOT / "requirements" / name).read_text()
        pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, flags=re.MULTILINE))
        locked = {canonicalize_name(each): Version(version) for each, version in pins.items()}
        for requirement in map(Requirement, requirements):
            version = locked.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not in requirements/{name}: make lock"
            assert version in requirement.specifier, f"{requirement}, but requirements/{name} has {version}: make lock"


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [facts] = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.parser.BytesParser().parsebytes(archive.read(facts))
    sources = {str(path.relative_to(ROOT)) for path in MODULES}
    assert sources <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"llm_jobs"}
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
