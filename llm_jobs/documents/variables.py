"""`${NAME}` in documents: where it is filled in, where it stays a name, and where it is refused.

* In the fields of `FILLED` (paths, endpoints, models, labels, ...) NAME is replaced by its value when the document is
  read, if NAME is allowed: given by the caller, or listed in the environment variable LLM_JOBS_DOCUMENT_VARIABLES.
  What was used is recorded with the job.
* In the fields of `CREDENTIALS` (`api_key`, connections, authorisation) it stays a name, which is looked up at the
  moment of the call.
* Everywhere else (prompts, rows, parameters) it is refused, so that what reaches the model stands in the document.
  `$${NAME}` is the text `${NAME}`, and `${` without a name is text anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.errors import Problem

ALLOW_LIST_VARIABLE = "LLM_JOBS_DOCUMENT_VARIABLES"
# Key paths; `*` stands for any one key or index. What is said of `prompts` holds for steps of every kind, at any depth,
# and what is said of a job for its profiles.
FILLED: tuple[KeyPath, ...] = (
    ("job", "description"),
    ("job", "labels", "*"),
    ("job", "model"),
    ("job", "models", "*"),
    ("job", "models", "*", "name"),
    ("job", "fallback", "*"),
    ("job", "on_status", "*", "model"),
    ("job", "on_status", "*", "*", "model"),
    ("job", "epoch"),
    ("job", "input", "path"),
    ("job", "input", "endpoint"),
    ("job", "input", "params", "*"),
    ("job", "output", "path"),
    ("job", "output", "table"),
    ("job", "output", "endpoint"),
    ("job", "output", "*", "path"),
    ("job", "output", "*", "table"),
    ("job", "output", "*", "endpoint"),
    ("job", "prompts", "*", "model"),
    ("job", "prompts", "*", "models", "*"),
    ("job", "prompts", "*", "models", "*", "name"),
    ("job", "prompts", "*", "for_each_model", "*"),
    ("job", "prompts", "*", "fallback", "*"),
    ("job", "prompts", "*", "on_status", "*", "model"),
    ("job", "prompts", "*", "on_status", "*", "*", "model"),
    ("job", "prompts", "*", "endpoint"),
    ("job", "logging", "path"),
    ("job", "monitoring", "export_to", "prometheus", "push"),
    ("job", "alerts", "*", "recipients", "*"),
    ("job", "alerts", "*", "channel"),
    ("job", "schedule", "cron"),
    ("job", "schedule", "timezone"),
    ("configuration", "LLM_name"),
    ("configuration", "model"),
    ("configuration", "endpoint"),
    ("configuration", "on_status", "*", "model"),
    ("configuration", "on_status", "*", "*", "model"),
    ("prompt", "data", "input", "path"),
    ("prompt", "data", "input", "endpoint"),
    ("prompt", "data", "input", "params", "*"),
)
_SECTIONS: tuple[KeyPath, ...] = (
    *(("job", *section) for section in (("input",), ("output",), ("output", "*"))),
    ("prompt", "data", "input"),
)
_OF_CONNECTIONS: tuple[KeyPath, ...] = (("connection",), ("auth",), ("auth", "*"), ("headers", "*"))
CREDENTIALS: tuple[KeyPath, ...] = (
    ("job", "prompts", "*", "api_key"),
    ("configuration", "api_key"),
    ("job", "alerts", "*", "api_key"),
    ("job", "alerts", "*", "url"),  # the address of a webhook is its password
    *((*section, *key) for section in _SECTIONS for key in _OF_CONNECTIONS),
)

_REFERENCE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME_ALONE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$", re.IGNORECASE)


class Variables:
    """Fills references, and remembers which were used and what was wrong."""

    def __init__(self, given: Mapping[str, str], environment: Mapping[str, str]) -> None:
        listed = {name.strip() for name in environment.get(ALLOW_LIST_VARIABLE, "").split(",")} - {""}
        self._values = {name: environment[name] for name in listed if name in environment} | dict(given)
        self._allowed = listed | set(given)
        self.used: dict[str, str] = {}
        self.filled: dict[KeyPath, tuple[str, ...]] = {}  # where which were filled in
        self.problems: list[Problem] = []

    def may_stand(self, path: KeyPath, name: str) -> bool:
        """Whether `${name}` may stand at `path`: as a name, or as a variable that documents may use."""
        return name in self._allowed or is_read_by_name(path)

    def fill(self, source: Source) -> JsonValue:
        """The document's value with its references filled in. Problems are gathered in `problems`."""
        return self._fill(source.value, (), source)

    def _fill(self, value: JsonValue, path: KeyPath, source: Source) -> JsonValue:
        if isinstance(value, str):
            return self._fill_text(value, path, source) if "${" in value else value
        if isinstance(value, dict):
            return {key: self._fill(item, (*path, key), source) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, (*path, index), source) for index, item in enumerate(value)]
        return value

    def _fill_text(self, text: str, path: KeyPath, source: Source) -> str:
        if is_read_by_name(path):
            return text

        def replace(match: re.Match[str]) -> str:
            if match[0].startswith("$$"):
                return match[0][1:]
            if not _is_among(FILLED, path):
                self.problems.append(_not_here(match[0], path, source))
                return match[0]
            return self._value(match[1], path, source)

        return _REFERENCE.sub(replace, text)

    def _value(self, name: str, path: KeyPath, source: Source) -> str:
        value = self._values.get(name)
        if name not in self._allowed or value is None or _SECRET_NAME.search(name):
            self.problems.append(self._unavailable(name, path, source))
            return ""
        self.used[name] = value
        self.filled[path] = (*self.filled.get(path, ()), name)
        return value

    def _unavailable(self, name: str, path: KeyPath, source: Source) -> Problem:
        if _SECRET_NAME.search(name):
            what = f"${{{name}}} is named like a secret"
            remedy = "name it under api_key, or call the variable something else"
            rule = "the values of secrets stand in no job"
        elif name in self._allowed:
            what = f"the variable {name} is not set"
            remedy = f"set {name} in the environment"
            rule = "a reference has a value when the document is read"
        else:
            what = f"the variable {name} is not allowed in documents"
            remedy = f"add {name} to the environment variable {ALLOW_LIST_VARIABLE} (names, separated by commas)"
            rule = f"allowed are: {', '.join(sorted(self._allowed)) or 'none'}"
        return source.problem(path, what, rule=rule, remedy=remedy)


def credential_name(text: str) -> str | None:
    """The NAME of a credential written as `${NAME}`; None if it is anything else."""
    match = _NAME_ALONE.fullmatch(text.strip())
    return match[1] if match else None


def reference_names(text: str) -> list[str]:
    """The names of the references in a text, each once."""
    return list(dict.fromkeys(match[1] for match in _REFERENCE.finditer(text) if not match[0].startswith("$$")))


def is_read_by_name(path: KeyPath) -> bool:
    """Whether `${NAME}` at this key path stays a name, looked up at the moment of its use."""
    return _is_among(CREDENTIALS, path)


def _plain(path: KeyPath) -> KeyPath:
    """The path of the same key in a job without profiles, whose steps are `prompts`."""
    if path[:2] == ("job", "profiles"):
        path = ("job", *path[3:])
    if path[:1] != ("job",) or path[1:2] not in (("steps",), ("phases",)):
        return path
    within = path[2:]
    while within[1:2] in (("steps",), ("first_of",)):
        within = within[2:]
    return ("job", "prompts", *within)


def _is_among(patterns: tuple[KeyPath, ...], path: KeyPath) -> bool:
    path = _plain(path)
    return any(
        len(pattern) == len(path) and all(part in ("*", key) for part, key in zip(pattern, path, strict=True))
        for pattern in patterns
    )


def _not_here(reference: str, path: KeyPath, source: Source) -> Problem:
    return source.problem(
        path,
        f"{reference} is not filled in here",
        rule="what reaches the model stands in the document itself; variables are for paths, endpoints and labels",
        remedy=f"write the text out, use a template column such as {{{{ name }}}}, or write ${reference} for the text "
        f"{reference}",
    )
