"""Expressions: what a filter, a condition, a bound of a loop or an alert is written in. `error_rate > 0.05`.

The expressions of the template language, in its sandbox: comparisons, `and`, `or`, `not`, `in`, arithmetic, filters
(`answer | length`) and tests (`answer is none`). No statement, no file, no attribute that begins with `_`.
Invariant: the same text and the same values give the same result.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from jinja2 import Undefined, nodes
from jinja2.exceptions import TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.parser import Parser

from llm_jobs.documents.sandbox import PromptEnvironment
from llm_jobs.errors import DocumentError, Problem, RowError

_ENVIRONMENT = PromptEnvironment()
_MISFITS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)
MAX_EXPRESSION_CHARS = 4096


class Expression:
    """An expression, compiled. `names`: the values that it reads."""

    def __init__(self, text: str, *, where: str) -> None:
        """Raises DocumentError for what is no expression; `where` names it in errors."""
        self.text = text
        self._where = where
        self.names = _names(text, where)
        self._evaluate = _ENVIRONMENT.compile_expression(text, undefined_to_none=False)

    def value(self, values: Mapping[str, object]) -> object:
        """What it comes to; what gives its items one after the other, as a list.

        Raises RowError where the values do not fit it: one is missing, or of another kind.
        """
        try:
            found = _listed(self._evaluate(values))
        except UndefinedError as error:
            raise RowError(f"{self._where}, {self.text!r}: {error}; there are: {', '.join(values) or 'none'}") from None
        except _MISFITS as error:
            raise RowError(f"{self._where}, {self.text!r}: {type(error).__name__}: {error}") from None
        if isinstance(found, Undefined):
            raise RowError(f"{self._where}, {self.text!r}: undefined; there are: {', '.join(values) or 'none'}")
        return found

    def is_true(self, values: Mapping[str, object]) -> bool:
        """Whether it holds. Raises as `value`."""
        return bool(self.value(values))


def _listed(value: object) -> object:
    """A filter such as `map` gives an iterator, which would hold of every row, and could be read once."""
    if isinstance(value, str | bytes | list | tuple | Mapping | Undefined) or not isinstance(value, Iterable):
        return value
    return list(value)


@functools.lru_cache(maxsize=1024)
def compile_expression(text: str, *, where: str) -> Expression:
    """The expression `text`; `where` names it in errors. Raises DocumentError for what is none."""
    return Expression(text, where=where)


def _names(text: str, where: str) -> frozenset[str]:
    if len(text) > MAX_EXPRESSION_CHARS:
        raise _refused(where, text[:40] + "…", f"it is longer than {MAX_EXPRESSION_CHARS} characters")
    try:
        parser = Parser(_ENVIRONMENT, text, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise _refused(where, text, f"{str(parser.stream.current)!r} is not expected")
        _ENVIRONMENT.compile_expression(text)  # unknown filters and tests are found here
    except TemplateSyntaxError as error:
        raise _refused(where, text, str(error.message)) from None
    except RecursionError:
        raise _refused(where, text[:40] + "…", "it is nested too deeply") from None
    found = {tree.name} if isinstance(tree, nodes.Name) else {name.name for name in tree.find_all(nodes.Name)}
    return frozenset(found - _ENVIRONMENT.globals.keys())


def _refused(where: str, text: str, what: str) -> DocumentError:
    problem = Problem(
        what=f"{where}: {what}",
        value=text,
        rule="an expression compares values: error_rate > 0.05, label == 'spam' and score >= 0.5, answer is none",
        remedy="correct it",
    )
    return DocumentError([problem])
