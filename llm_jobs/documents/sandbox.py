"""The language of templates and expressions: Jinja2 in its immutable sandbox, strict about what is missing, bounded.

Invariants: what is printed is what the model should read (text as it stands, everything else as JSON writes it, never
Python's `repr`), nothing empty is printed unasked, and no template can loop for ever or build a text beyond
`MAX_TEXT_CHARS` by multiplying, joining, padding or recursing. A template is part of a user's own document, so this
guards against accidents and careless sharing; it is no jail for hostile code, which filters can still slow down.

Compiling messages and naming the row in errors belongs to `prompts.rendering`; expressions to `expressions`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_TEXT_CHARS = 16 * 1024 * 1024  # several times what the largest context windows hold
MAX_STEPS = 100_000  # loop iterations and calls of one rendering
BUDGET = " steps left"  # the name of the counter in the context: no template can spell it

_GROWING = frozenset({"expandtabs", "format", "format_map", "join", "replace"})  # methods of text
_WIDE_FIELD = re.compile(r"\{[^{}]*:[^{}]*\d{6,}")
_PADDED_FILTERS = ("batch", "center", "indent", "slice", "truncate", "wordwrap")
_WIDE_FORMAT = re.compile(r"%[^a-zA-Z%]*(\d{6,}|\*)")


class EmptyValue(Exception):
    """A template printed None or NaN. `prompts.rendering` finds out which expression it was."""


def printed(value: object) -> str:
    """`value` as a prompt shows it. Raises EmptyValue for None and NaN."""
    if isinstance(value, str):
        return _bounded(value)
    if value is None or value != value:
        raise EmptyValue
    if isinstance(value, (bool, dict, list, tuple)):
        return _bounded(json.dumps(value, ensure_ascii=False, default=_json_text))
    if isinstance(value, bytes):
        raise SecurityError("bytes cannot be printed into a prompt; a prompt is text")
    return str(value)


def _json_text(value: object) -> str:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return str(value)


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise SecurityError(f"a text of {len(text):,} characters is built; at most {MAX_TEXT_CHARS:,} are allowed")
    return text


def spend_step(context: Context) -> None:
    """Count one loop iteration or call. Raises SecurityError when the rendering has used up its steps."""
    budget = context.parent.get(BUDGET)
    if budget is None:
        return
    budget[0] -= 1
    if budget[0] < 0:
        raise SecurityError(f"more than {MAX_STEPS:,} loop iterations and calls in one rendering")


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any] | Sequence[Any]:
    if isinstance(items, Sequence):
        budget = context.parent.get(BUDGET)
        if budget is not None:
            budget[0] -= len(items) - 1
        spend_step(context)
        return items
    return _counting(context, items)


def _counting(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        spend_step(context)
        yield item


def _joined(parts: Sequence[object]) -> str:
    texts = [printed(part) for part in parts]
    if sum(map(len, texts)) > MAX_TEXT_CHARS:
        raise SecurityError(f"`~` builds a text of more than {MAX_TEXT_CHARS:,} characters")
    return "".join(texts)


def _check_arguments(arguments: Iterable[object]) -> None:
    for argument in arguments:
        if isinstance(argument, int) and abs(argument) > MAX_TEXT_CHARS:
            raise SecurityError(f"the argument {argument} is larger than {MAX_TEXT_CHARS:,}")


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        _check_arguments(args)
        _check_arguments(kwargs.values())
        return function(*args, **kwargs)

    return call


def _bounded_filter(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A filter that does what a method of text does."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        text, *rest = args if method == "format" else args[1:]  # the others are given the context first
        if method == "join":
            text, rest = (rest[0] if rest else kwargs.get("d", "")), [text]
        _check_growth(text, method, rest)
        return function(*args, **kwargs)

    return call


def _check_growth(text: object, method: str, args: Sequence[Any]) -> None:
    """Refuse what a method of text would make too much of, as far as that can be told before."""
    if not isinstance(text, str):
        return
    if method in ("format", "format_map"):
        if _WIDE_FIELD.search(text) or _WIDE_FORMAT.search(text):
            raise SecurityError("a format width of more than five digits")
    elif method == "join" and args and isinstance(args[0], (list, tuple)):
        _check_length(sum(len(text) + (len(item) if isinstance(item, str) else 1) for item in args[0]))
    elif method == "replace" and len(args) >= 2 and isinstance(args[0], str) and isinstance(args[1], str):
        _check_length(len(text) + text.count(args[0]) * len(args[1]))
    elif method == "expandtabs":
        _check_length(len(text) + text.count("\t") * (args[0] if args and isinstance(args[0], int) else 8))


class _Bounds(NodeTransformer):
    """Puts a counter into every loop and a limit on every `~`, which the sandbox itself cannot intercept."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "_counted", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "_joined", [], [], None, None, lineno=node.lineno)


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Templates without files, globals with side effects, or unbounded growth."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=printed, cache_size=0
        )
        del self.globals["lipsum"]  # random text is no prompt: it would never be the same call twice
        self.filters.pop("random")
        for name in _PADDED_FILTERS:
            self.filters[name] = _checked(self.filters[name])
        for name in ("format", "join", "replace"):
            self.filters[name] = _bounded_filter(self.filters[name], name)
        self.filters.update(_counted=_counted, _joined=_joined)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        return _Bounds().visit(tree)  # type: ignore[no-any-return]

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _check_product(left, right)
            _check_product(right, left)
        elif operator == "**" and isinstance(right, (int, float)) and abs(right) > 10_000:
            raise SecurityError(f"the exponent {right} is larger than 10,000")
        elif operator == "%" and isinstance(left, str) and _WIDE_FORMAT.search(left):
            raise SecurityError("a format width of more than five digits")
        elif operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
            _check_length(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        formatted = super().wrap_str_format(value)
        if formatted is not None:
            _check_growth(value.__self__, value.__name__, ())
        return formatted

    # The parameters' names are Jinja2's own: a template's keyword arguments may be called anything else.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        spend_step(__context)
        _check_arguments(args)
        _check_arguments(kwargs.values())
        if (method := getattr(__obj, "__name__", "")) in _GROWING:
            _check_growth(getattr(__obj, "__self__", None), method, args)
        return super().call(__context, __obj, *args, **kwargs)


def _check_product(many: object, times: object) -> None:
    if isinstance(many, (str, bytes, list, tuple)) and isinstance(times, int):
        _check_length(len(many) * times)


def _check_length(length: int) -> None:
    if length > MAX_TEXT_CHARS:
        raise SecurityError(f"a value of {length:,} items or characters is built; at most {MAX_TEXT_CHARS:,}")
