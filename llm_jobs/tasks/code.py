"""Users' code as a step: a Python function from the scripts' folder, or JavaScript.

Neither is loaded into this process: workers answer row by row (`isolation/workers.py`). Python runs from the scripts'
folder alone, for it can do whatever its user can. JavaScript runs in an embedded V8, which has no file, network or
module, so that a document may bring it; Node would need a folder of its own to be as harmless, and an installation.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import orjson

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError, Problem, RowError, SetupError
from llm_jobs.isolation.subprocesses import allowed_script
from llm_jobs.isolation.workers import WorkerKind
from llm_jobs.tasks.base import OPTIONAL, OWN, Schema, Surroundings, Task, Values
from llm_jobs.tasks.expressions import TYPES, typed

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_TYPE: Schema = {"anyOf": [{"enum": list(TYPES)}, {"type": "object"}]}
_SAID: Mapping[str, Schema] = {
    "returns": {**_TYPE, "default": "any"},
    "outputs": {"type": ["object", "null"], "additionalProperties": dict(_TYPE), "default": None},
    "recorded": {"type": "boolean", "default": False},
}


class CodeTask(Task):
    """What both languages have in common. What the code returns is the step's column, of the type `returns`; with
    `outputs` (names and types) it is an object, each member a column."""

    category = "code"
    slow = True
    shaping = frozenset({"returns", "outputs"})
    outputs = {OWN: {}}
    language: str

    def declared(self, fixed: Values) -> Mapping[str, Schema]:
        outputs = fixed.get("outputs")
        if isinstance(outputs, dict) and outputs:
            return {name: typed(said) for name, said in outputs.items()}
        return {OWN: typed(fixed.get("returns"))}

    def digest(self, fixed: Values, surroundings: Surroundings) -> str | None:
        script = fixed.get("script")
        if not isinstance(script, str):
            return None
        return hashlib.sha256(_path(script, surroundings).read_bytes()).hexdigest()

    async def answer(self, inputs: Values, surroundings: Surroundings) -> Values:
        assert surroundings.workers is not None, "code runs only while a job does"
        given = {name: value for name, value in inputs.items() if name not in self.fixed}
        kind = self._kind(inputs, sorted(given), surroundings)
        message = orjson.dumps({"inputs": given})
        said = json.loads(await surroundings.workers.ask(kind, message, timeout_s=surroundings.timeout_s))
        if "error" in said:
            raise RowError(f"the code failed: {said['error']}")
        return {OWN: said["value"]}

    def shaped(self, outputs: Values, fixed: Values) -> Values:
        declared, value = fixed.get("outputs"), outputs[OWN]
        if not declared:
            return outputs
        if not isinstance(value, dict):
            raise ValueError(
                f"the code returned {type(value).__name__}, and is to return an object, for it has outputs"
            )
        if unknown := sorted(value.keys() - declared):  # type: ignore[operator]
            raise ValueError(f"the code returned what is no output of the step: {', '.join(unknown)}")
        return value

    def _kind(self, inputs: Values, names: list[str], surroundings: Surroundings) -> WorkerKind:
        script, function = inputs.get("script"), inputs.get("function")
        path = _path(script, surroundings) if isinstance(script, str) else None
        source = str(inputs.get("code")) if path is None else _source(path, surroundings.digest)
        setup: dict[str, JsonValue] = {
            "language": self.language,
            "source": source,
            "path": str(path or ""),
            "function": function,
            "names": [] if function else [*names],
        }
        folder = surroundings.scripts
        return WorkerKind(setup=orjson.dumps(setup), folder=folder, memory_mb=surroundings.memory_mb)


class LambdaTask(CodeTask):
    """Its parameters are the inputs, by name; one that has a default may be left out, any other is else the column of
    its name."""

    name = "lambda"
    aliases = ("python",)
    description = "What a Python function from the scripts' folder returns for a row."
    inputs = {"script": {"type": "string", "pattern": r"\.py$"}, "function": {"type": "string"}, **_SAID}
    example = {"script": "grade.py", "function": "grade", "text": "a b"}
    fixed = frozenset(inputs)
    language = "python"

    def more_inputs(self, fixed: Values, surroundings: Surroundings) -> Mapping[str, Schema] | None:
        script, function = str(fixed["script"]), str(fixed["function"])
        source = _path(script, surroundings).read_text(encoding="utf-8")
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            raise _refused(script, f"the script is no Python: {error}", "correct it") from None
        known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        if function not in known:
            there = ", ".join(known) or "none"
            raise _refused(script, f"the script has no function {function!r}", f"name one of its functions: {there}")
        arguments = known[function].args
        if arguments.kwarg is not None:
            return None
        return dict(_parameters(arguments))


class JavaScriptTask(CodeTask):
    """`code` is an expression or the body of a function, in which the other inputs are variables; a `function` of a
    `script` gets them as one object."""

    name = "javascript"
    aliases = ("java_script",)
    description = "What JavaScript comes to for a row, in V8 without files or network."
    inputs = {
        "code": {"type": ["string", "null"], "default": None},
        "script": {"type": ["string", "null"], "pattern": r"\.m?js$", "default": None},
        "function": {"type": ["string", "null"], "pattern": f"^{_NAME.pattern}$", "default": None},
        **_SAID,
    }
    example = {"code": "input.length", "input": "four"}
    fixed = frozenset(inputs)
    language = "javascript"

    def written(self, inputs: Values) -> Values:
        code, script, function = (inputs.get(name) for name in ("code", "script", "function"))
        if (code is None) == (script is None):
            raise ValueError("javascript runs either `code`, or a `function` of a `script`")
        if (script is None) != (function is None):
            raise ValueError("a script has a function that is called: write `script` and `function`")
        if bad := [name for name in inputs if not _NAME.fullmatch(name)]:
            raise ValueError(f"inputs are variables in JavaScript, and {bad[0]!r} cannot be one")
        return inputs

    def more_inputs(self, fixed: Values, surroundings: Surroundings) -> Mapping[str, Schema] | None:
        if find_spec("py_mini_racer") is None:
            raise SetupError("JavaScript runs in an embedded V8: pip install 'llm-jobs[javascript]'")
        if isinstance(fixed.get("script"), str):
            _path(str(fixed["script"]), surroundings)
        return None


def _path(script: str, surroundings: Surroundings) -> Path:
    return allowed_script(script, folder=surroundings.scripts, executed=False)


@functools.lru_cache(maxsize=64)
def _source(path: Path, digest: str | None) -> str:
    """The script's text. Raises RowError where it is not what was digested when the job was submitted."""
    content = path.read_bytes()
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise RowError(f"{path.name} was changed since the job was submitted; submit the job again")
    return content.decode("utf-8")


def _parameters(arguments: ast.arguments) -> Iterator[tuple[str, Schema]]:
    """The parameters that can be given by name. A default that is no JSON value stays the function's own affair."""
    plain = arguments.args
    defaults = [None] * (len(plain) - len(arguments.defaults)) + [*arguments.defaults]
    for argument, default in [
        *zip(plain, defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]:
        yield argument.arg, {} if default is None else _default(default)


def _default(node: ast.expr) -> Schema:
    try:
        value = ast.literal_eval(node)
        orjson.dumps(value)
    except (ValueError, TypeError, SyntaxError):
        return {OPTIONAL: True}
    return {"default": value}


def _refused(script: str, what: str, remedy: str) -> DocumentError:
    return DocumentError([Problem(what=what, file=script, rule="a step calls a function of a script", remedy=remedy)])
