"""The table of adaptive concurrency has a row per server, and says what a call costs."""

from __future__ import annotations

import pytest

from benchmarks import saturation


def test_the_table_says_what_was_found_beside_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    saturation.main(["--seeds", "1", "--only", "queue, 4"])
    head, columns, _, row, cost = [line for line in capsys.readouterr().out.splitlines() if line]
    assert "the first 10% of a run are not counted" in head
    cells = dict(zip(columns.strip("| ").split(" | ")[:3], row.strip("| ").split(" | ")[:3], strict=True))
    assert cells == {"server": "queue, 4 workers, exponential", "run, s": "600", "best fixed": "4"}
    assert float(row.strip("| ").split(" | ")[-1]) >= 0.9
    assert "µs" in cost
