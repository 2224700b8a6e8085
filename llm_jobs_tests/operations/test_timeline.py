"""How a job went over time, drawn from its result."""

from __future__ import annotations

import base64
from pathlib import Path

from llm_jobs.operations.timeline import job_plot
from llm_jobs_tests.cli.house import ROWS, House, job


def picture(house: House, job_hash: str) -> str | None:
    with house.entry.open_services() as services:
        plot = job_plot(services, job_hash)
    return plot and base64.b64decode(plot.partition("base64,")[2].rstrip(")")).decode()


def test_a_result_that_was_bought_has_its_plot_and_one_that_was_reused_has_none(tmp_path: Path) -> None:
    house = House(tmp_path)
    [bought] = house.answer(house.write("reviews.yaml", job("reviews", ROWS)))
    drawn = picture(house, bought.job_hash)
    assert drawn is not None
    assert "latency" in drawn
    assert "cost" in drawn
    [reused] = house.answer(house.write("fewer.yaml", job("fewer", ROWS[:2])))
    assert reused.calls_sent == 0
    assert picture(house, reused.job_hash) is None
    assert picture(house, "0" * 32) is None
