"""Rows into prompts: templates compiled once, then filled from one row after the other in microseconds.

Invariant: the same messages and the same row always give the same text. A row that does not fit raises RenderError,
which is that row's alone; a template that no row could fit raises DocumentError when it is compiled. What is printed
how, and what is bounded, is `sandbox`'s; choosing a prompt is `library`'s.

In a template every column is a name. A column whose name is no identifier is reached as `{{ row["Review text"] }}`.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError

from llm_jobs.documents.content import Content, Image, ImagePart, Part, TextPart, content_texts, with_texts
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.sandbox import BUDGET, MAX_STEPS, MAX_TEXT_CHARS, EmptyValue, PromptEnvironment, printed
from llm_jobs.documents.steps import Message
from llm_jobs.errors import RenderError
from llm_jobs.prompts.broken import BrokenTemplate

Row = Mapping[str, object]
Fill = Callable[[Row], str]

WHOLE_ROW = "row"

_ENVIRONMENT = PromptEnvironment()
_MARKS = ("{{", "{%", "{#")
_EXPRESSION = re.compile(r"\{\{[-+]?\s*(.*?)\s*[-+]?\}\}", re.DOTALL)
_UNDEFINED = re.compile(r"'(.+)' is undefined")
# What an expression of a template may raise when a row's values are not of the kind that it expects.
_MISFITS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


def compile_messages(messages: Sequence[Message], *, templated: bool) -> Callable[[Row], tuple[Message, ...]]:
    """A function from a row to the messages that the model receives.

    `templated` False: the contents are the user's text, whatever braces they hold. Raises DocumentError if a content
    is no template; the function raises RenderError.
    """
    given = tuple(messages)
    if not templated or not any(_is_template(text) for message in given for text in content_texts(message.content)):
        return lambda row: given
    fills = [
        (message.role, _compile_content(message.content, where=f"message {number} ({message.role})"))
        for number, message in enumerate(given, 1)
    ]
    return lambda row: tuple([Message(role=role, content=fill(row)) for role, fill in fills])


def _compile_content(content: Content, *, where: str) -> Callable[[Row], Content]:
    if isinstance(content, str):
        return compile_text(content, where=where)
    fills = [_compile_part(part, where=f"{where}, part {number}") for number, part in enumerate(content, 1)]
    return lambda row: tuple([fill(row) for fill in fills])


def _compile_part(part: Part, *, where: str) -> Callable[[Row], Part]:
    if isinstance(part, Image):
        return lambda row: part
    (text,) = content_texts((part,))
    fill, detail = compile_text(text, where=where), None if isinstance(part, TextPart) else part.detail
    if isinstance(part, TextPart):
        return lambda row: TextPart(text=fill(row))
    if part.file is not None:
        return lambda row: ImagePart(file=fill(row), detail=detail)
    return lambda row: ImagePart(url=fill(row), detail=detail)


def compile_value(value: JsonValue, *, templated: bool) -> Callable[[Row], JsonValue]:
    """A function from a row to `value` with each text in it (not the keys) filled as a template.

    What holds no template is returned as it stands, shared between rows: do not change it. Raises as
    `compile_messages`.
    """
    if not templated or not _holds_template(value):
        return lambda row: value
    return _compile_value(value, "")


def undefined_names(messages: Sequence[Message]) -> set[str]:
    """The columns that the templates need. `row` and what the template language brings are not among them.

    Raises DocumentError if a content is no template.
    """
    names: set[str] = set()
    for number, message in enumerate(messages, 1):
        for text in content_texts(message.content):
            if _is_template(text):
                names |= _undeclared(text, f"message {number} ({message.role})")
    return names - _ENVIRONMENT.globals.keys() - {WHOLE_ROW}


@functools.lru_cache(maxsize=4096)  # a document's templates are looked at more than once
def _undeclared(template: str, where: str) -> frozenset[str]:
    return frozenset(meta.find_undeclared_variables(_parse(template, where)))


def names_in_value(value: JsonValue) -> set[str]:
    """The columns that the templates in `value` need, as `undefined_names`."""
    return undefined_names([Message(role="text", content=text) for text in _texts(value)])


def compile_text(template: str, *, where: str) -> Fill:
    """A function from a row to the text of `template`; `where` names it in errors. Raises as `compile_messages`."""
    if not _is_template(template):
        return lambda row: template
    tree = _parse(template, where)
    columns = _plain_columns(tree)
    if columns is not None:
        return _fill_columns(columns, template, where)
    return _fill_template(tree, template, where)


def bind_parameters(
    messages: Sequence[Message], parameters: Mapping[str, JsonValue]
) -> tuple[tuple[Message, ...], dict[str, JsonValue]]:
    """Separate a prompt's parameters: those that its templates name are bound in the text, the others are returned.

    A bound parameter stands before the text as `{% set name = value %}`, so that the text alone still says everything
    that reaches the model. Raises DocumentError if a content is no template.
    """
    wanted = [undefined_names([message]) for message in messages]
    bound = [
        Message(
            role=message.role,
            content=with_texts(message.content, functools.partial(_bound, parameters=parameters, of=names)),
        )
        for message, names in zip(messages, wanted, strict=True)
    ]
    used = set().union(*wanted) if wanted else set()
    return tuple(bound), {name: value for name, value in parameters.items() if name not in used}


def _bound(text: str, *, parameters: Mapping[str, JsonValue], of: set[str]) -> str:
    """`text` after those of `parameters` that its message names."""
    told = [f"{{% set {name} = {_literal(value)} %}}" for name, value in sorted(parameters.items()) if name in of]
    return "".join(told) + text


def _literal(value: JsonValue) -> str:
    """`value` as the template language writes it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _is_template(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _holds_template(value: JsonValue) -> bool:
    return any(_is_template(text) for text in _texts(value))


def _compile_value(value: JsonValue, pointer: str) -> Callable[[Row], JsonValue]:
    if not _holds_template(value):
        return lambda row: value
    if isinstance(value, str):
        return compile_text(value, where=f"the text at {pointer or '/'}")
    if isinstance(value, list):
        items = [_compile_value(item, f"{pointer}/{index}") for index, item in enumerate(value)]
        return lambda row: [item(row) for item in items]
    assert isinstance(value, dict)
    members = [(key, _compile_value(item, f"{pointer}/{key}")) for key, item in value.items()]
    return lambda row: {key: item(row) for key, item in members}


def _parse(template: str, where: str) -> nodes.Template:
    try:
        tree = _ENVIRONMENT.parse(template)
        _ENVIRONMENT.compile(tree)  # unknown filters and tests are found here
    except TemplateSyntaxError as error:
        raise BrokenTemplate(str(error.message).rstrip("."), where=where, line=error.lineno) from None
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        what = f"`{type(node).__name__.lower()}` reaches for another file"
        raise BrokenTemplate(what, where=where, line=node.lineno)
    return _ENVIRONMENT.parse(template)


def _plain_columns(tree: nodes.Template) -> list[tuple[str, bool]] | None:
    """(text, is a column) in order, if the template does nothing but print columns; None otherwise."""
    parts: list[tuple[str, bool]] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                parts.append((node.data, False))
            elif isinstance(node, nodes.Name) and node.name not in _ENVIRONMENT.globals and node.name != WHOLE_ROW:
                parts.append((node.name, True))
            else:
                return None
    return parts


def _fill_columns(parts: Sequence[tuple[str, bool]], template: str, where: str) -> Fill:
    def fill(row: Row) -> str:
        try:
            text = "".join([printed(row[text]) if is_column else text for text, is_column in parts])
        except KeyError as error:
            raise RenderError(f"{where}: {_missing(str(error.args[0]), row)}") from None
        except EmptyValue:
            raise RenderError(f"{where}: {_empty(template, row)}") from None
        except SecurityError as error:
            raise RenderError(f"{where}: {error}") from None
        return _limited(text, where)

    return fill


def _fill_template(tree: nodes.Template, template: str, where: str) -> Fill:
    compiled = _ENVIRONMENT.from_string(tree)
    counted = any(True for _ in tree.find_all((nodes.For, nodes.Call, nodes.CallBlock)))
    wants_row = any(name.name == WHOLE_ROW for name in tree.find_all(nodes.Name))

    def fill(row: Row) -> str:
        values: dict[str, object] = {WHOLE_ROW: row, **row} if wants_row else dict(row)
        if counted:
            values[BUDGET] = [MAX_STEPS]
        try:
            text = _concatenated(compiled.root_render_func(compiled.new_context(values)))
        except UndefinedError as error:
            raise RenderError(f"{where}: {_undefined(str(error), row)}") from None
        except EmptyValue:
            raise RenderError(f"{where}: {_empty(template, row)}") from None
        except _MISFITS as error:
            raise RenderError(f"{where}: {type(error).__name__}: {error}") from None
        return text

    return fill


def _concatenated(parts: Iterable[str]) -> str:
    kept: list[str] = []
    room = MAX_TEXT_CHARS
    for part in parts:
        room -= len(part)
        if room < 0:
            raise SecurityError(f"the text is longer than {MAX_TEXT_CHARS:,} characters")
        kept.append(part)
    return "".join(kept)


def _limited(text: str, where: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise RenderError(f"{where}: the text is longer than {MAX_TEXT_CHARS:,} characters; shorten the row's values")
    return text


def _undefined(message: str, row: Row) -> str:
    name = _UNDEFINED.fullmatch(message)
    return _missing(name[1], row) if name else f"{message}; where it may be missing, write | default('') after it"


def _missing(name: str, row: Row) -> str:
    near = difflib.get_close_matches(name, map(str, row), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "name one of these, or add the column to the input"
    return f"column {name!r} is missing; the row has {', '.join(map(repr, row)) or 'no columns'}; {hint}"


def _empty(template: str, row: Row) -> str:
    """Which expression printed nothing. Slow: evaluates one after the other, and only when a row has failed."""
    for match in _EXPRESSION.finditer(template):
        if _is_empty(match[1], row):
            return f"{{{{ {match[1]} }}}} is empty in this row; write {{{{ {match[1]} or '' }}}} if it may be"
    return "an expression is empty in this row; write {{ … or '' }} where it may be"


def _is_empty(expression: str, row: Row) -> bool:
    try:
        value: Any = _expression(expression)(dict(row))
        return bool(value is None or value != value)
    except _MISFITS:
        return False


@functools.lru_cache(maxsize=256)
def _expression(expression: str) -> Callable[..., Any]:
    return _ENVIRONMENT.compile_expression(expression, undefined_to_none=False)
