"""The benchmark measures what it says, on few calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.contenders import BARE, OURS, Client
from benchmarks.processes import ClientFailed, Server, model_server, run
from benchmarks.report import table
from benchmarks.speed import Measured, Plan, Slope, measure, ratio

PLAN = Plan(calls=(5, 30), peer_calls=(5, 30), rounds=1, concurrency=10, latency_s=0.001)


def measured(clients: list[Client], server: Server, work: Path) -> list[Measured]:
    return measure(clients, PLAN, server=server, work=work, tell=lambda line: None)


def slope(cpu_ms: float, wall_ms: float = 1.0) -> Slope:
    return Slope(cpu_ms=cpu_ms, wall_ms=wall_ms, few_wall_s=1.0, many_wall_s=1.0, peak_mb=1.0, server_cpu_us=1.0)


def test_the_bare_loop_and_this_project_ask_each_question_once(tmp_path: Path) -> None:
    with model_server(PLAN.latency_s) as server:
        found = measured([BARE, OURS], server, tmp_path)
        assert [one.left_out for one in found] == [None, None]
        assert server.answered() == 2 * sum(PLAN.calls)
        assert server.cpu_s() > 0
    assert table(found, PLAN).count("\n") == 3


def test_a_client_that_fails_is_left_out_with_its_reason(tmp_path: Path) -> None:
    broken = Client(name="broken", module="benchmarks.clients.nothing", keeps="nothing")
    with model_server(PLAN.latency_s) as server:
        found = measured([BARE, broken], server, tmp_path)
    assert "No module named" in str(found[1].left_out)
    assert "left out" in table(found, PLAN)


def test_a_failing_program_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(ClientFailed, match="on purpose"):
        run(["/bin/sh", "-c", "echo on purpose; exit 3"], log=tmp_path / "log")


def test_a_ratio_is_taken_within_its_round() -> None:
    busy_then_idle = Measured(client=BARE, calls=(1, 2), slopes=[slope(4.0), slope(1.0), slope(1.0)])
    twice_as_much = Measured(client=OURS, calls=(1, 2), slopes=[slope(8.0), slope(2.0), slope(9.0)])
    assert ratio(twice_as_much, busy_then_idle, lambda each: each.cpu_ms) == 2.0


def test_a_slope_that_the_latency_forbids_is_not_shown_as_a_speed() -> None:
    plan = Plan(calls=(1, 2), peer_calls=(1, 2), rounds=1, concurrency=100, latency_s=0.05)
    bare = Measured(client=BARE, calls=(1, 2), slopes=[slope(1.0, wall_ms=0.6)])
    too_fast = Measured(client=OURS, calls=(1, 2), slopes=[slope(2.0, wall_ms=0.4)])
    shown = table([bare, too_fast], plan).splitlines()
    assert "0.600" in shown[-2]
    assert "below the floor of 0.5" in shown[-1]
    assert "not measurable" in shown[-1]
