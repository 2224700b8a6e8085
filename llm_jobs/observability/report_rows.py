"""One row of a report as HTML: a line that opens to the prompt, the input row and the answers beside each other.

In a comparison each answer that differs is shown as it is written, with what differs marked; one that is the same is
shown once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_jobs.observability.differing import marked
from llm_jobs.observability.rendered import MOST_CHARACTERS, escaped
from llm_jobs.observability.report_model import ReportedRow, Side
from llm_jobs.observability.report_values import plain, preview, request_html, text_html, value_html
from llm_jobs.observability.texts import count, dollars, short_time

ERASED = "no request is kept: the row was not asked, or what was said was erased"


def row_html(row: ReportedRow, names: Sequence[str]) -> str:
    """A row of a report about the jobs `names`."""
    sides = [side for side in row.sides if side is not None]
    body = _compared(row, names) if len(names) > 1 else _single(row, sides[0])
    return (
        f'<details class="row" data-group="{escaped(row.group)}" {_sorting(sides)} {_calls(sides)}>'
        f"<summary>{_line(row)}</summary><div>{body}</div></details>\n"
    )


def badge(status: str) -> str:
    kind = {"succeeded": "good", "done": "good", "same": "good", "differs": "warn", "partial": "warn"}.get(
        status, "bad"
    )
    return f'<span class="badge {"quiet" if status.startswith("only in") else kind}">{escaped(status)}</span>'


def _sorting(sides: Sequence[Side]) -> str:
    tokens = sum(side.tokens or 0 for side in sides)
    cost, latency = sum(side.cost_usd or 0 for side in sides), sum(side.latency_s or 0 for side in sides)
    return f'data-row="{sides[0].number}" data-tokens="{tokens}" data-cost="{cost:.12g}" data-latency="{latency:.6g}"'


def _calls(sides: Sequence[Side]) -> str:
    """Which calls the row shows, so that an erasure finds the pages that do."""
    return f'data-calls="{" ".join(escaped(call_hash) for side in sides for call_hash in side.calls)}"'


def _line(row: ReportedRow) -> str:
    cells = ["" if side is None else f"{side.number:,}" for side in row.sides]
    previews = [preview(row.inputs), *(_answer_preview(side) for side in row.sides)]
    texts = "".join(f'<span class="preview" dir="auto">{text}</span>' for text in previews)
    return (
        f'<span class="number">{" | ".join(cells)}</span><span>{badge(row.group)}</span>{texts}'
        f'<span class="figures">{_figures(row.sides)}</span>'
    )


def _answer_preview(side: Side | None) -> str:
    if side is None:
        return ""
    if side.status != "succeeded":
        return f'<i class="problem">{preview({"error": side.error or side.status})}</i>'
    return preview(side.answers)


def _figures(sides: Sequence[Side | None]) -> str:
    """Of a single job only: two jobs' figures side by side are in the rows themselves."""
    if len(sides) > 1 or sides[0] is None:
        return ""
    side = sides[0]
    told = [f"{count(side.tokens)} tokens"] if side.tokens is not None else []
    told += [dollars(side.cost_usd)] if side.cost_usd else []
    told += [short_time(side.latency_s)] if side.latency_s is not None else []
    return escaped(" · ".join(told))


def _single(row: ReportedRow, side: Side) -> str:
    answer = _outcome(side) + "".join(
        _answer(name, value) for name, value in side.answers.items() if _shown(side, value)
    )
    return (
        f'<div class="columns">{_section("Prompt", _prompt(side))}{_section("Row", _values(row.inputs))}'
        f"{_section('Answer', answer)}</div>{_facts(side)}"
    )


def _compared(row: ReportedRow, names: Sequence[str]) -> str:
    asked = "".join(
        f"<details><summary>prompt of {escaped(name)}</summary>{_prompt(side)}</details>"
        for name, side in zip(names, row.sides, strict=True)
        if side is not None
    )
    columns = zip(names, row.sides, _answers(row.sides), strict=True)
    answers = "".join(
        _section(name, '<p class="none">no such row</p>' if side is None else _outcome(side) + text + _facts(side))
        for name, side, text in columns
    )
    return f'<div class="columns">{_section("Row", _values(row.inputs) + asked)}{answers}</div>'


def _answers(sides: Sequence[Side | None]) -> list[str]:
    """Each side's answers; those of two sides with what differs marked."""
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return ["" if side is None else "".join(_answer(*each) for each in side.answers.items()) for side in sides]
    texts: list[list[str]] = [[], []]
    for pair in paired(sides[0].answers, sides[1].answers):
        for text, each in zip(texts, _pair(*pair), strict=True):
            text.append(each)
    return ["".join(text) for text in texts]


def paired(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, Any] | None, tuple[str, Any] | None]]:
    """Columns of the same name; where none has a name of the other's, those in the same place."""
    if not first.keys() & second.keys():
        pairs = list(zip(first.items(), second.items(), strict=False))
        yield from pairs
        yield from ((each, None) for each in list(first.items())[len(pairs) :])
        yield from ((None, each) for each in list(second.items())[len(pairs) :])
        return
    yield from (((name, value), (name, second[name]) if name in second else None) for name, value in first.items())
    yield from ((None, (name, value)) for name, value in second.items() if name not in first)


def _pair(first: tuple[str, Any] | None, second: tuple[str, Any] | None) -> tuple[str, str]:
    if first is None or second is None or first[1] is None or second[1] is None or first[1] == second[1]:
        return tuple("" if each is None else _answer(*each) for each in (first, second))  # type: ignore[return-value]
    texts = [plain(each[1])[:MOST_CHARACTERS] for each in (first, second)]
    left, right = marked(texts[0], texts[1])
    return _marked(first, left), _marked(second, right)


def _marked(each: tuple[str, Any], text: str) -> str:
    name, value = each
    whole = f'<details class="source"><summary>rendered</summary>{value_html(value, as_markdown=True)}</details>'
    return f'<h4>{escaped(name)}</h4><p class="text" dir="auto">{text}</p>{whole}'


def _shown(side: Side, value: Any) -> bool:
    return side.status == "succeeded" or value is not None


def _outcome(side: Side) -> str:
    """Nothing for a success; else what went wrong, and what was said all the same."""
    if side.status == "succeeded":
        return ""
    said = f"<h4>what was said</h4>{text_html(side.raw)}" if side.raw else ""
    return f'{badge(side.status)}<p class="problem">{escaped(side.error or "")}</p>{said}'


def _answer(name: str, value: Any) -> str:
    return f"<h4>{escaped(name)}</h4>{value_html(value, as_markdown=True)}"


def _prompt(side: Side) -> str:
    """What was asked last, after what was asked before."""
    earlier = "".join(
        f"<details><summary>asked before: {escaped(step)}</summary>{request_html(body)}</details>"
        for step, body in side.earlier
    )
    return earlier + (f'<p class="none">{ERASED}</p>' if not side.request else request_html(side.request))


def _values(values: Mapping[str, Any]) -> str:
    return "".join(f"<h4>{escaped(name)}</h4>{value_html(value)}" for name, value in values.items())


def _section(title: str, body: str) -> str:
    return f'<section><h3 dir="auto">{escaped(title)}</h3>{body}</section>'


def _facts(side: Side) -> str:
    facts = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(text)}</dd>" for name, text in side.facts)
    tries = "".join(f"<li>{escaped(text)}</li>" for text in side.tries)
    listed = f"<h4>attempts at the last call</h4><ol>{tries}</ol>" if tries else ""
    return f'<details class="facts"><summary>facts</summary><dl>{facts}</dl>{listed}</details>'
