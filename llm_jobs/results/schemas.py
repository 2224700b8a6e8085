"""Answers against the JSON Schema that was declared for them, whole: every keyword, and formats as assertions.

The validator is jsonschema-rs (drafts 4 to 2020-12 by `$schema`, the last where it says nothing): 0.2 µs for a small
schema, where jsonschema takes 30 and fastjsonschema, which reads no draft after 7, takes 1.5. Nothing is fetched: a
`$ref` stays within its schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MOST_CHARACTERS = 300  # of the reason, which is kept with every row and sent to the model that is to repair it

Check = Callable[[object], None]


class SchemaError(ValueError):
    """What is no JSON Schema. `path`: where in it."""

    def __init__(self, what: str, *, path: Sequence[str | int]) -> None:
        self.what = what
        self.path = tuple(path)
        super().__init__(f"{_path(path, 'the schema')} is no JSON Schema: {what}")


def compile_check(schema: Mapping[str, Any]) -> Check:
    """A function that raises ValueError, with path, value and rule, for a value that is not as declared.

    Raises SchemaError for what is no JSON Schema, or refers to what is not in it.
    """
    # 40 ms, for those alone who declare a schema.
    from jsonschema_rs import ReferencingError, ValidationError, validator_for

    try:
        validator = validator_for(dict(schema), validate_formats=True, offline=True)
    except (ValidationError, ReferencingError, ValueError) as error:
        raise SchemaError(_short(_message(error)), path=getattr(error, "instance_path", ())) from None

    def check(value: object) -> None:
        if not validator.is_valid(value):
            error = next(iter(validator.iter_errors(value)))
            rule = ".".join(map(str, error.schema_path))
            raise ValueError(
                f"{_path(error.instance_path, 'the answer')}: {_short(error.message)} (declared by {rule})"
            )

    return check


def _message(error: Exception) -> str:
    return str(getattr(error, "message", error))


def _path(path: Sequence[str | int], of: str) -> str:
    return of + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
