"""Nodes and edges of documents that are graphs: in which order they come, and what their steps are called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.text import KeyPath
from llm_jobs.documents.validation import did_you_mean

_NOT_IN_COLUMNS = re.compile(r"[^A-Za-z0-9_]+")


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The nodes, each after those that it needs, as near to their own order as that allows.

    What waits for itself is left out: see `cycle_of`.
    """
    names = list(needs)
    place = {name: number for number, name in enumerate(names)}
    open_needs = {name: set(needs[name]) for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for name, needed in open_needs.items():
        for other in needed:
            after[other].append(name)
    ready = [place[name] for name in names if not open_needs[name]]
    heapify(ready)
    ordered: list[str] = []
    while ready:
        name = names[heappop(ready)]
        ordered.append(name)
        for later in after[name]:
            open_needs[later].discard(name)
            if not open_needs[later]:
                heappush(ready, place[later])
    return ordered


def cycle_of(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Nodes that wait for each other, each before one that it needs, from the first of `needs` on and with that one at
    the end again; none where there are none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))[1:]
        first = circle.index(next(name for name in needs if name in circle))
        return [*circle[first:], *circle[: first + 1]]
    return []


def ordered_or_refused(needs: Mapping[str, Iterable[str]], at: KeyPath, checks: Checks) -> list[str]:
    """The nodes in order; a cycle is refused with its path."""
    if cycle := cycle_of(needs):
        checks.refuse(
            at,
            f"the graph has a cycle: {' -> '.join(cycle)}",
            rule="a step comes after those whose outputs it takes",
            remedy="remove one of these edges",
        )
        return []
    return in_order(needs)


def refuse_unknown(name: str, known: Iterable[str], at: KeyPath, checks: Checks, *, kind: str) -> None:
    """A name that no node has."""
    known = list(known)
    checks.refuse(
        at,
        f"there is no {kind} {name!r}",
        value=name,
        rule=f"there are: {', '.join(known[:20])}",
        remedy=did_you_mean(name, known, otherwise="name one of these"),
    )


def step_names(ids: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A name for each id that can be a column, none of `taken`: the id itself where it can be."""
    used = set(taken)
    names: dict[str, str] = {}
    for identifier in ids:
        name = _NOT_IN_COLUMNS.sub("_", identifier)
        if not name[:1].isalpha() and not name.startswith("_"):
            name = f"step_{name}"
        number, free = 1, name
        while free in used:
            number += 1
            free = f"{name}_{number}"
        used.add(free)
        names[identifier] = free
    return names
