"""Graphs as Python scripts that build them, and scripts as graphs.

A script is run in a process of its own, never here: it is somebody's code. It is run under another name than
`__main__`, so that what it does when it is started does not happen, and the graph is what it calls `graph`.
"""

from __future__ import annotations

import json
import keyword
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llm_jobs.documents.asked import may_need
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError, Problem

Step = Mapping[str, JsonValue]
NAME = "graph"
TIMEOUT_S = 60.0

_TELL = """
import json, runpy, sys
for path in json.load(sys.stdin):
    graph = runpy.run_path(path, run_name="graph").get("graph")
    if graph is None:
        raise SystemExit(f"{path}: the script names no `graph`")
    print(json.dumps(graph.to_job()))
"""
_METHODS = ("filter", "split", "for_each")


def python_code(members: Mapping[str, JsonValue], steps: Sequence[Step], *, tasks: Sequence[str]) -> str:
    """A script that builds the graph and runs it. `tasks`: the registered tasks, each of which is a method."""
    lines = ["from llm_jobs import GraphBuilder", "", f"{NAME} = GraphBuilder({_arguments(members)})"]
    lines += [f"{NAME}{_call(step, frozenset(tasks), '')}" for step in steps]
    return "\n".join([*lines, "", 'if __name__ == "__main__":', f"    print({NAME}.run())", ""])


def _call(step: Step, tasks: frozenset[str], indent: str) -> str:
    """`.method(…)`, or `.add({…})` where no method can say it."""
    given = {key: value for key, value in step.items() if key != "name"}
    if may_need(step):
        given.setdefault("needs", None)
    name = repr(step["name"])
    inner = step.get("first_of") or step.get("steps")
    if isinstance(inner, list):
        return _compound(given, name, [each for each in inner if isinstance(each, dict)], tasks, indent)
    inputs = given.get("inputs")
    if "task" in given:
        task = str(given.pop("task"))
        given.pop("inputs", None)
        stated = inputs if isinstance(inputs, dict) else {}
        if task in tasks and task.isidentifier() and not {"name", *given} & stated.keys() and _are_words(stated):
            return f".{task}({_listed([*_pairs(stated), f'name={name}', *_pairs(given)])})"
        return f".task({_listed([repr(task), repr(stated), f'name={name}', *_pairs(given)])})"
    if not _are_words(given):
        return f".add({dict(step)!r})"
    for kind in _METHODS:
        if kind in given:
            value = given.pop(kind)
            return f".{kind}({_listed([repr(value), f'name={name}', *_pairs(given)])})"
    reduce = given.get("reduce")
    if isinstance(reduce, dict):
        given.pop("reduce")
        return f".reduce({_listed([f'name={name}', *_pairs(reduce), *_pairs(given)])})"
    return f".prompt({_listed([f'name={name}', *_pairs(given)])})"


def _compound(given: dict[str, JsonValue], name: str, inner: Sequence[Step], tasks: frozenset[str], indent: str) -> str:
    key = "first_of" if "first_of" in given else "steps"
    given.pop(key)
    below = indent + "    "
    calls = "".join(f"\n{below}    {_call(step, tasks, below)}" for step in inner)
    method = "first_of" if key == "first_of" else "loop" if "loop" in given else "compound"
    loop = given.pop("loop", None)
    stated = _pairs(loop) if isinstance(loop, dict) else []
    graph = f"(\n{below}GraphBuilder(){calls}\n{indent})" if inner else "GraphBuilder()"
    return f".{method}({_listed([graph, f'name={name}', *stated, *_pairs(given)])})"


def _are_words(members: Mapping[str, JsonValue]) -> bool:
    return all(name.isidentifier() and not keyword.iskeyword(name) for name in members)


def _pairs(members: Mapping[str, JsonValue]) -> list[str]:
    return [f"{name}={value!r}" for name, value in members.items()]


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def _arguments(members: Mapping[str, JsonValue]) -> str:
    return _listed(_pairs(members)) if _are_words(members) else f"**{dict(members)!r}"


def read_scripts(paths: Sequence[Path], *, timeout_s: float = TIMEOUT_S) -> list[dict[str, JsonValue]]:
    """The YAML job of each script's graph. One process runs them all. Raises DocumentError for a script that fails."""
    told = json.dumps([str(path) for path in paths])
    command = [sys.executable, "-c", _TELL]
    try:
        done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise DocumentError([_failed(paths, f"it took more than {timeout_s:g} s")]) from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason told"]
        raise DocumentError([_failed(paths, last[0])])
    return list(_told(done.stdout))


def _told(output: str) -> Iterator[dict[str, JsonValue]]:
    for line in output.splitlines():
        if line.startswith('{"job"'):
            value = json.loads(line)
            yield value


def _failed(paths: Sequence[Path], why: str) -> Problem:
    return Problem(
        what=f"the script builds no graph: {why}",
        file=str(paths[0]) if len(paths) == 1 else None,
        rule=f"a script builds one graph and calls it `{NAME}`",
        remedy="run it with Python and mend it",
    )
