"""The program that a worker runs: it loads a user's code once and answers each line of JSON with another.

It stands alone (no import from this package: the code of a user is beside it in one process), reads lines from its
standard input and writes to what was its standard output; whatever the code itself prints goes to standard error.

First line: {"language": "python" | "javascript", "source": TEXT, "path": PATH, "function": NAME | null, "names": […]}.
Each following one: {"inputs": {...}}, answered by {"value": ...} or {"error": TEXT}.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

Answer = Callable[[Mapping[str, Any]], Any]
MIB = 1024 * 1024
LOOK_S = 1.0
USERS = "<script>"  # the file name that tracebacks give to the user's code


def main(memory_mb: int) -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    answer = loaded(json.loads(sys.stdin.buffer.readline()), memory_mb)
    answers.write(b"{}\n")
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    for line in sys.stdin.buffer:
        answers.write(answered(answer, json.loads(line)["inputs"]))
    os._exit(0)  # V8 may hang in the interpreter's own way of ending


def end_with_parent(parent: int) -> None:
    """A loop without an end would outlive whoever asked for it."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


def loaded(setup: Mapping[str, Any], memory_mb: int) -> Answer:
    """What answers a row; code that cannot be loaded answers each with the reason."""
    try:
        return LANGUAGES[setup["language"]](setup, memory_mb)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's code raises
        return unloaded(told(error))


def unloaded(reason: str) -> Answer:
    """An error raised again and again would grow by its own traceback each time: what is kept is what it says."""

    def answer(inputs: Mapping[str, Any]) -> Any:
        raise Thrown(reason)

    return answer


def answered(answer: Answer, inputs: Mapping[str, Any]) -> bytes:
    """The line for one message."""
    try:
        return dumped({"value": answer(inputs)})
    except MemoryError:
        raise  # nothing that this process does from here on can be trusted
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's code raises
        return dumped({"error": told(error)})


def dumped(value: object) -> bytes:
    """One line. Raises TypeError or ValueError for what is no JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def told(error: BaseException) -> str:
    """The last line of the traceback, with the line of the user's code that it came from."""
    last = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, Thrown):
        return str(error)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == USERS]
    return f"{last} (line {lines[-1]} of the script)" if lines else last


class Thrown(Exception):
    """Says all that is to be told: what JavaScript code threw, or why code could not be loaded."""


def python(setup: Mapping[str, Any], memory_mb: int) -> Answer:
    """A function of a module. The text that was digested is what runs, whatever the file says by now."""
    bound_memory(memory_mb)
    path = setup["path"]
    sys.path[0] = os.path.dirname(path)
    module = types.ModuleType(os.path.splitext(os.path.basename(path))[0])
    module.__file__ = path
    sys.modules[module.__name__] = module
    exec(compile(setup["source"], USERS, "exec"), module.__dict__)
    function = getattr(module, setup["function"])
    return lambda inputs: function(**inputs)


def bound_memory(memory_mb: int) -> None:
    """As far as the system bounds it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * MIB, memory_mb * MIB))


def javascript(setup: Mapping[str, Any], memory_mb: int) -> Answer:
    """Code in V8, without files, network or modules: an expression, the body of a function, or a function of a script.
    V8 reserves far more addresses than it uses, so that it is V8 that bounds the memory."""
    from py_mini_racer import MiniRacer

    engine = MiniRacer()
    engine.set_hard_memory_limit(memory_mb * MIB)
    engine.eval(JAVASCRIPT)
    found = json.loads(engine.call("__load", json.dumps(setup)))
    if setup["function"] is not None:
        engine.eval(setup["source"])
        found = json.loads(
            str(engine.eval(f"__found(typeof {setup['function']} === 'function' && {setup['function']})"))
        )
    if "error" in found:
        raise Thrown(found["error"])

    def answer(inputs: Mapping[str, Any]) -> Any:
        said = json.loads(engine.call("__answer", json.dumps(inputs)))
        if "error" in said:
            raise Thrown(said["error"])
        return said["value"]

    return answer


JAVASCRIPT = """
let __run;
const __guarded = (work) => {
  try { return JSON.stringify(work()) } catch (error) { return JSON.stringify({ error: String(error) }) }
};
const __load = (text) => __guarded(() => {
  const { source, names, function: called } = JSON.parse(text);
  if (called !== null) return {};
  let run;
  try { run = new Function(...names, `return (${source}\n)`) } catch { run = new Function(...names, source) }
  __run = (inputs) => run(...names.map((name) => inputs[name]));
  return {};
});
const __found = (called) => {
  if (called) __run = called;
  return JSON.stringify(called ? {} : { error: "ReferenceError: the script has no such function" });
};
const __answer = (text) => __guarded(() => ({ value: __run(JSON.parse(text)) ?? null }));
"""
LANGUAGES: Mapping[str, Callable[[Mapping[str, Any], int], Answer]] = {"python": python, "javascript": javascript}

if __name__ == "__main__":
    main(int(sys.argv[1]))
