"""A picture of a result file. Runs in the plot's own environment (peers/plot.txt).

python -m benchmarks.plot RESULT.json PICTURE.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot


def draw(result: dict[str, Any], picture: Path) -> None:
    """CPU and wall time per call of each client, on logarithmic axes."""
    clients = [client for client in result["clients"] if client["rounds"]]
    floor_ms = result["plan"]["latency_s"] * 1000 / result["plan"]["concurrency"]
    names = [client["client"] for client in clients]
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 0.6 * len(names) + 1.6), sharey=True)
    for axis, key, title in zip(axes, ("cpu", "wall"), ("client CPU", "wall time"), strict=True):
        values = [median(one[f"{key}_ms"] for one in client["rounds"]) for client in clients]
        ratios = [client[f"{key}_ratio"] for client in clients]
        colours = ["#4f46e5" if name.startswith("llm-jobs") else "#9ca3af" for name in names]
        labels = [f"{value:.2f} ms, {times:.1f} ×" for value, times in zip(values, ratios, strict=True)]
        if key == "wall":  # a slope that the latency forbids is no speed: report.py
            possible = [value >= floor_ms for value in values]
            labels = [label if able else "not measurable" for label, able in zip(labels, possible, strict=True)]
            values = [value if able else 0.05 for value, able in zip(values, possible, strict=True)]
        bars = axis.barh(names, values, color=colours)
        axis.bar_label(bars, labels=labels, padding=4)
        axis.set_xscale("log")
        axis.set_xlim(0.05, max(values) * 6)
        axis.set_title(f"{title} per call")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    plan = result["plan"]
    figure.suptitle(
        f"{plan['latency_s'] * 1000:.0f} ms latency, {plan['concurrency']} calls in flight, {result['machine']}, "
        f"{result['date']}"
    )
    figure.tight_layout()
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
