"""Where boxes stand that come after each other: in layers from the top down, each below all that it comes after. Pure.

The way of Sugiyama, Tagawa and Toda (1981): layers by the longest way to a box, order in a layer by the mean place of
the neighbours, then places as near to the neighbours as the order leaves room for. An arrow over several layers has a
point in each, which keeps it out of the boxes. The same boxes always stand at the same places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

ACROSS, DOWN = 28.0, 42.0  # between boxes of a layer; between layers
ARRIVING = 10.0  # before a box an arrow goes straight down, so that its head does
SWEEPS = 6
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layered:
    """Places in pixels from the top left; `corners` and `routes` are in the order of the boxes and of the edges."""

    width: float
    height: float
    corners: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]


def layered(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], *, above: Mapping[int, float]
) -> Layered:
    """The boxes of these widths and heights, each edge from an earlier box to a later one. `above`: room that the layer
    of a box wants above it."""
    layers = _layers(len(sizes), edges)
    chains = _chains(len(sizes), edges, layers)
    passed = {node: layers[chain[0]] + place for chain in chains for place, node in enumerate(chain[1:-1], 1)}
    layers += [passed[node] for node in sorted(passed)]
    width_of = [width for width, _ in sizes] + [0.0] * len(passed)
    links = list(dict.fromkeys(pair for chain in chains for pair in pairwise(chain)))
    ranks = _ordered(layers, links)
    centres = _centres(ranks, links, width_of, len(sizes))
    tops, bottoms = _bands(ranks, sizes, above)
    corners = tuple(
        (centres[box] - width / 2, tops[layers[box]] + (bottoms[layers[box]] - tops[layers[box]] - height) / 2)
        for box, (width, height) in enumerate(sizes)
    )
    routes = tuple(tuple(_route(chain, layers, corners, sizes, centres, tops, bottoms)) for chain in chains)
    right = max((centres[node] + width_of[node] / 2 for node in range(len(centres))), default=0.0)
    return Layered(right, bottoms[-1] if bottoms else 0.0, corners, routes)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    layers = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layers[target] = max(layers[target], layers[source] + 1)
    return layers


def _chains(count: int, edges: Sequence[tuple[int, int]], layers: Sequence[int]) -> list[list[int]]:
    """Each edge as the nodes that it passes: its source, a new node in each layer between, its target. Edges of one
    source share their way as long as they go on: a step that all others need has one line beside them."""
    nodes: dict[tuple[int, int], int] = {}
    chains = []
    for source, target in edges:
        between = range(layers[source] + 1, layers[target])
        chains.append([source, *(nodes.setdefault((source, layer), count + len(nodes)) for layer in between), target])
    return chains


def _ordered(layers: Sequence[int], links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The nodes of each layer from left to right, so that few links cross: the best order of some sweeps."""
    ranks: list[list[int]] = [[] for _ in range(max(layers, default=-1) + 1)]
    for node, layer in enumerate(layers):
        ranks[layer].append(node)
    before, after = _neighbours(len(layers), links)
    best, fewest = [list(rank) for rank in ranks], _crossings(ranks, after)
    for sweep in range(SWEEPS if fewest else 0):
        neighbours = after if sweep % 2 else before
        for rank in reversed(ranks) if sweep % 2 else ranks:
            _reorder(rank, neighbours, _places(ranks))
        crossings = _crossings(ranks, after)
        if crossings < fewest:
            best, fewest = [list(rank) for rank in ranks], crossings
    return best


def _reorder(rank: list[int], neighbours: Sequence[Sequence[int]], places: Mapping[int, float]) -> None:
    means = {
        node: sum(places[each] for each in neighbours[node]) / len(neighbours[node])
        if neighbours[node]
        else places[node]
        for node in rank
    }
    rank.sort(key=lambda node: means[node])


def _places(ranks: Sequence[Sequence[int]]) -> dict[int, float]:
    """How far right each node stands in its layer, from 0 to 1."""
    return {node: (index + 0.5) / len(rank) for rank in ranks for index, node in enumerate(rank)}


def _neighbours(count: int, links: Sequence[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in links:
        before[target].append(source)
        after[source].append(target)
    return before, after


def _crossings(ranks: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> int:
    crossings = 0
    for rank, below in pairwise(ranks):
        place = {node: index for index, node in enumerate(below)}
        seen = [0] * len(below)
        for node in rank:
            reached = [place[each] for each in after[node]]
            crossings += sum(sum(seen[index + 1 :]) for index in reached)
            for index in reached:
                seen[index] += 1
    return crossings


def _centres(
    ranks: Sequence[Sequence[int]], links: Sequence[tuple[int, int]], widths: Sequence[float], boxes: int
) -> list[float]:
    """The middle of each node: in every sweep as near to its neighbours' as the nodes beside it allow."""
    before, after = _neighbours(len(widths), links)
    centres = [0.0] * len(widths)
    for rank in ranks:
        _put(rank, centres, widths, [0.0] * len(rank), boxes)
    for sweep in range(SWEEPS):
        neighbours = after if sweep % 2 else before
        for rank in reversed(ranks) if sweep % 2 else ranks:
            wanted = [_wanted(node, neighbours[node], centres, boxes) for node in rank]
            _put(rank, centres, widths, wanted, boxes)
    left = min((centres[node] - width / 2 for node, width in enumerate(widths)), default=0.0)
    return [centre - left for centre in centres]


def _put(
    rank: Sequence[int], centres: list[float], widths: Sequence[float], wanted: Sequence[float], boxes: int
) -> None:
    """The places with the least squares of distance to those wanted that leave room between the nodes: neighbours that
    want to overlap are joined and stand around the mean of what they want. Points of arrows weigh more than boxes."""
    offsets = [0.0]
    for left, right in pairwise(rank):
        offsets.append(offsets[-1] + (widths[left] + widths[right]) / 2 + ACROSS)
    groups: list[tuple[float, float, int]] = []  # mean, weight, count
    for node, want, offset in zip(rank, wanted, offsets, strict=True):
        mean, weight, count = want - offset, 1.0 if node < boxes else 4.0, 1
        while groups and groups[-1][0] >= mean:
            other, heavy, many = groups.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + many
        groups.append((mean, weight, count))
    means = [mean for mean, _, count in groups for _ in range(count)]
    for node, mean, offset in zip(rank, means, offsets, strict=True):
        centres[node] = mean + offset


def _wanted(node: int, neighbours: Sequence[int], centres: Sequence[float], boxes: int) -> float:
    """The mean of the neighbours: for a box of the boxes, for a point of an arrow of its other points, where there are
    such. A long arrow that drew its ends beside it would shift each layer a little further, and the picture would lean.
    """
    alike = [each for each in neighbours if (each < boxes) == (node < boxes)]
    near = alike or neighbours or [node]
    return sum(centres[each] for each in near) / len(near)


def _bands(
    ranks: Sequence[Sequence[int]], sizes: Sequence[tuple[float, float]], above: Mapping[int, float]
) -> tuple[list[float], list[float]]:
    """Where each layer begins and ends, from the top."""
    tops: list[float] = []
    bottoms: list[float] = []
    for rank in ranks:
        start = bottoms[-1] + DOWN if bottoms else 0.0
        tops.append(start + max((above.get(node, 0.0) for node in rank), default=0.0))
        bottoms.append(tops[-1] + max(sizes[node][1] for node in rank if node < len(sizes)))
    return tops, bottoms


def _route(
    chain: Sequence[int],
    layers: Sequence[int],
    corners: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    centres: Sequence[float],
    tops: Sequence[float],
    bottoms: Sequence[float],
) -> Iterator[Point]:
    """From the lower edge of a box to the upper edge of another, straight down through the layers between."""
    first, last = chain[0], chain[-1]
    yield centres[first], corners[first][1] + sizes[first][1]
    yield centres[first], bottoms[layers[first]]
    for node in chain[1:-1]:
        yield centres[node], tops[layers[node]]
        yield centres[node], bottoms[layers[node]]
    yield centres[last], tops[layers[last]] - ARRIVING
    yield centres[last], corners[last][1]
