"""Rows become prompts: what is printed, what is refused, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.content import shown_content
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.sandbox import MAX_TEXT_CHARS
from llm_jobs.documents.steps import Message
from llm_jobs.errors import DocumentError, RenderError
from llm_jobs.prompts.rendering import (
    bind_parameters,
    compile_messages,
    compile_value,
    names_in_value,
    undefined_names,
)

ROW: Mapping[str, Any] = {
    "id": 7,
    "text": "Grüße {{ id }}",
    "price": 1.5,
    "sold": True,
    "label": None,
    "tags": ["ä", 1, None],
    "extra": {"a": {"b": "c"}, "when": date(2026, 1, 2)},
    "Review text": "good",
}


def user(text: str) -> Message:
    return Message(role="user", content=text)


def rendered(template: str, row: Mapping[str, Any] = ROW) -> str:
    (message,) = compile_messages([user(template)], templated=True)(row)
    return shown_content(message.content)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no template\n", "no template\n"),
        ("{{ text }}\n", "Grüße {{ id }}\n"),
        ("{{ id }}, {{ price }}, {{ sold }}", "7, 1.5, true"),
        ("{{ tags }}", '["ä", 1, null]'),
        ("{{ extra }}", '{"a": {"b": "c"}, "when": "2026-01-02"}'),
        ("{{ extra.a.b }} {{ extra['a'] }}", 'c {"b": "c"}'),
        ("{{ label or '' }}!", "!"),
        ("{{ label | default('none', true) }}", "none"),
        ("{{ missing | default('none') }}", "none"),
        ("{% if missing is defined %}a{% else %}b{% endif %}", "b"),
        ("{% for tag in tags %}{{ loop.index }}/{{ loop.length }}:{{ tag or '-' }} {% endfor %}", "1/3:ä 2/3:1 3/3:- "),
        ("{% for key, value in extra.a.items() %}{{ key }}={{ value }}{% endfor %}", "b=c"),
        ("{{ row['Review text'] }} {{ row.id }}", "good 7"),
        ("{{ text | upper }}", "GRÜSSE {{ ID }}"),
        ("{{ 'a' ~ id ~ tags }}", 'a7["ä", 1, null]'),
        ("{% set x = id + 1 %}{{ x }}", "8"),
        ("{# a comment #}a", "a"),
        ("{{ '{{' }} {% raw %}{{ id }}{% endraw %}", "{{ {{ id }}"),
        ("<b>{{ '<&>' }}</b>", "<b><&></b>"),
        ("{{ extra.when }}", "2026-01-02"),
        ("{{ range(3) | list }}", "[0, 1, 2]"),
    ],
)
def test_what_is_printed_is_what_a_model_should_read(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(("value", "text"), [(Decimal("1.10"), "1.10"), (10**20, str(10**20)), ((1, "a"), '[1, "a"]')])
def test_values_of_other_types_are_printed_as_text(value: object, text: str) -> None:
    assert rendered("{{ x }}", {"x": value}) == text


def test_a_column_called_row_is_that_column() -> None:
    assert rendered("{{ row }} {{ row | upper }}", {"row": "mine"}) == "mine MINE"


def test_roles_stay_and_every_message_is_filled() -> None:
    messages = [Message(role="system", content="Speak {{ lang }}."), Message(role="user", content="{{ text }}")]
    assert compile_messages(messages, templated=True)({"lang": "German", "text": "hi"}) == (
        Message(role="system", content="Speak German."),
        Message(role="user", content="hi"),
    )


def test_literal_messages_keep_their_braces() -> None:
    messages = (user("{{ x }} {% for %}"),)
    assert compile_messages(messages, templated=False)({}) == messages


@given(st.text())
def test_a_value_is_never_read_as_a_template(text: str) -> None:
    assert rendered("{{ x }}", {"x": text}) == text


REFUSED = [
    ("{{ txt }}", "column 'txt' is missing", "did you mean 'text'?"),
    ("{{ zzz | upper }}", "column 'zzz' is missing", "add the column"),
    ("{% for x in zzz %}{% endfor %}", "column 'zzz' is missing", "add the column"),
    ("{{ 'a' ~ zzz }}", "column 'zzz' is missing", "add the column"),
    ("{{ extra.z }}", "has no attribute 'z'", "default"),
    ("{{ row['z'] }}", "has no attribute 'z'", "default"),
    ("{{ label }}", "{{ label }} is empty", "write {{ label or '' }}"),
    ("{{- extra.get('z') -}}", "{{ extra.get('z') }} is empty", "or ''"),
    ("{{ text }}{{ label | default('x') }}", "{{ label | default('x') }} is empty", "or ''"),
    ("{% for tag in tags %}{{ tag }}{% endfor %}", "an expression is empty", "or ''"),
    ("{{ 'a' ~ label }}", "an expression is empty", "or ''"),
    ("{{ id + text }}", "TypeError", ""),
    ("{{ id / 0 }}", "ZeroDivisionError", ""),
    ("{{ id.__class__ }}", "unsafe", ""),
    ("{{ text.__init__.__globals__ }}", "unsafe", ""),
    ("{{ tags.append(1) }}", "unsafe", ""),
    ("{{ 'a' * 10 ** 9 }}", "at most", ""),
    ("{{ 10 ** 100000 }}", "exponent", ""),
    ("{{ '%999999999d' % id }}", "format width", ""),
    ("{{ text.rjust(10 ** 9) }}", "larger than", ""),
    ("{{ text | center(10 ** 9) }}", "larger than", ""),
    ("{{ '{:>99999999}'.format(text) }}", "format width", ""),
    ("{{ '%99999999s' | format(text) }}", "format width", ""),
    ("{{ ([text * 1000] * 20000) | join }}", "items or characters", ""),
    ("{{ ''.join([text * 1000] * 20000) }}", "items or characters", ""),
    ("{{ (text * 1000) | replace('', text * 20000) }}", "items or characters", ""),
    ("{{ (text * 1000).replace('', text * 20000) }}", "items or characters", ""),
    ("{{ ('\t' * 1000).expandtabs(20000) }}", "items or characters", ""),
    ("{{ range(10 ** 9) | list }}", "larger than", ""),
    ("{{ range(10 ** 7) | list }}", "Range too big", ""),
    ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "loop iterations", ""),
    (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "loop iterations and calls",
        "",
    ),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError", ""),
    (
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "more than 16,777,216 characters",
        "",
    ),
    (
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "at most 16,777,216",
        "",
    ),
    ("{% for i in range(20) %}{{ 'x' * 1000000 }}{% endfor %}", "longer than 16,777,216 characters", ""),
]


@pytest.mark.parametrize(("template", "what", "remedy"), REFUSED)
def test_a_row_that_does_not_fit_is_refused_with_the_reason(template: str, what: str, remedy: str) -> None:
    with pytest.raises(RenderError) as caught:
        rendered(template)
    assert what in str(caught.value)
    assert remedy in str(caught.value)
    assert str(caught.value).startswith("message 1 (user): ")


def test_nan_is_as_empty_as_none() -> None:
    with pytest.raises(RenderError, match=r"\{\{ x \}\} is empty"):
        rendered("{{ x }}", {"x": float("nan")})


def test_a_value_above_the_limit_is_refused() -> None:
    with pytest.raises(RenderError, match="characters"):
        rendered("{{ x }}", {"x": "a" * (MAX_TEXT_CHARS + 1)})
    with pytest.raises(RenderError, match="longer than"):
        rendered("{{ x }}{{ x }}", {"x": "a" * (MAX_TEXT_CHARS - 1)})


def test_a_failing_row_leaves_the_next_one_alone() -> None:
    render = compile_messages([user("{{ x }}{% for i in range(9) %}.{% endfor %}")], templated=True)
    with pytest.raises(RenderError):
        render({"x": None})
    assert render({"x": "a"})[0].content == "a........."


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("a\n{{ b", "line 2 of its text"),
        ("{% for x in y %}", "line 1"),
        ("{{ x | nofilter }}", "No filter named 'nofilter'"),
        ("{{ x | random }}", "No filter named 'random'"),
        ("{% include 'x' %}", "`include` reaches for another file"),
        ("{% import 'x' as y %}", "`import` reaches for another file"),
        ("{% extends 'x' %}", "`extends` reaches for another file"),
    ],
)
def test_what_is_no_template_is_refused_when_it_is_compiled(template: str, what: str) -> None:
    for compile_it in (
        lambda text: compile_messages([user(text)], templated=True),
        lambda text: undefined_names([user(text)]),
    ):
        with pytest.raises(DocumentError) as caught:
            compile_it(template)
        (problem,) = caught.value.problems
        assert what in problem.what
        assert problem.rule
        assert problem.remedy


def test_the_columns_that_a_prompt_needs_are_known_before_it_is_filled() -> None:
    messages = [
        Message(role="system", content="{{ lang | default('en') }} {% set x = a %}{{ x }}"),
        Message(role="user", content="{% for i in range(3) %}{{ b[i] }}{% endfor %}{{ row['c'] }}{{ namespace() }}"),
        Message(role="user", content="plain"),
    ]
    assert undefined_names(messages) == {"lang", "a", "b"}


def test_values_are_filled_wherever_they_hold_a_template() -> None:
    value: JsonValue = {
        "model": "m",
        "messages": [{"role": "user", "content": "{{ text }}"}],
        "{{ key }}": 1,
        "options": {"stop": ["{{ id }}", "END"], "seed": 3},
    }
    fill = compile_value(value, templated=True)
    assert fill({"text": "hi", "id": 5}) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "{{ key }}": 1,
        "options": {"stop": ["5", "END"], "seed": 3},
    }
    assert names_in_value(value) == {"text", "id"}
    assert compile_value(value, templated=False)({}) is value


def test_a_value_that_does_not_fit_is_refused_with_its_pointer() -> None:
    with pytest.raises(RenderError, match="the text at /messages/0/content: column 'x' is missing"):
        compile_value({"messages": [{"content": "{{ x }}"}]}, templated=True)({})


def test_parameters_that_templates_name_are_bound_and_the_others_are_left_for_the_request() -> None:
    messages = [Message(role="system", content="Be {{ tone }}."), Message(role="user", content="{{ text }} {{ tone }}")]
    bound, rest = bind_parameters(messages, {"tone": "dry", "seed": 1})
    assert rest == {"seed": 1}
    assert [message.content for message in compile_messages(bound, templated=True)({"text": "hi"})] == [
        "Be dry.",
        "hi dry",
    ]
    assert undefined_names(bound) == {"text"}


LITERALS = st.recursive(
    st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(-1e6, 1e6)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=8,
)


@given(LITERALS)
def test_a_bound_parameter_prints_as_a_column_of_that_value_would(value: JsonValue) -> None:
    (bound,), _ = bind_parameters([user("{{ x }}")], {"x": value})
    assert rendered(shown_content(bound.content), {}) == rendered("{{ x }}", {"x": value})


def test_a_typical_prompt_costs_microseconds_per_row() -> None:
    messages = [
        Message(role="system", content="You translate from {{ lang }}. Answer with the text only."),
        Message(role="user", content="Review {{ id }}:\n{% if lang == 'de' %}(formal){% endif %}\n{{ text | trim }}\n"),
    ]
    render = compile_messages(messages, templated=True)
    row = {"id": 1, "lang": "de", "text": "A long review. " * 20}
    started = time.process_time()
    for _ in range(2000):
        render(row)
    assert (time.process_time() - started) / 2000 < 100e-6  # some 10 µs where nothing else runs
