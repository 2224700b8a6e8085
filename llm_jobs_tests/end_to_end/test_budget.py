"""One dollar for a label, many processes, some killed: the shop's own till never holds more than the dollar."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from llm_jobs.clock import WallClock
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.operations.budgets import label_key
from llm_jobs_tests.end_to_end.processes import child_environment, start_child
from llm_jobs_tests.servers.shop import INPUT_USD, OUTPUT_USD, shop

DEARER = 40  # than the shop's prices, so that a dollar is some three hundred calls
CHILDREN, KILLED = 10, 2
CAP_USD = 1.0
MODELS = f"""
dear:
  provider: openai
  model: dear
  price:
    input_per_million_usd: {INPUT_USD * 1e6 * DEARER}
    output_per_million_usd: {OUTPUT_USD * 1e6 * DEARER}
"""


def write_job(home: Path, number: int) -> Path:
    rows = [{"x": f"{number}/{row}"} for row in range(100)]
    job = {
        "name": f"spender {number}",
        "model": "dear",
        "labels": {"team": "spenders"},
        "input": {"rows": rows},
        "prompts": [{"name": "answer", "text": "Tell me all about {{ x }}.", "max_tokens": 60}],
        "execution": {"concurrency": 8},
    }
    path = home.parent / f"{number}.json"
    path.write_text(json.dumps({"job": job}), encoding="utf-8")
    return path


def test_many_processes_spend_one_dollar_and_the_server_never_sees_more(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models.yaml").write_text(MODELS, encoding="utf-8")
    (home / "budgets.yaml").write_text(f"labels: {{team=spenders: {{max_cost_usd: {CAP_USD}}}}}", encoding="utf-8")
    with shop() as opened:
        environment = child_environment(opened.url)
        kill = ["--kill", "CallSent:12"]
        killed = [
            start_child(home, [write_job(home, number)], environment=environment, options=kill)
            for number in range(KILLED)
        ]
        for child in killed:
            child.communicate(timeout=120)
        assert [child.returncode for child in killed] == [-signal.SIGKILL] * KILLED
        others = [
            start_child(home, [write_job(home, number)], environment=environment) for number in range(KILLED, CHILDREN)
        ]
        told = [child.communicate(timeout=300) for child in others]
        assert [child.returncode for child in others] == [0] * len(others), told

    till_usd = opened.cost_usd * DEARER
    clock = WallClock()
    ledger = open_ledger(f"sqlite:///{home / 'ledger.db'}", clock=clock)
    lost = {unrecorded.call_hash for unrecorded in ledger.unrecorded()}
    key = label_key("team=spenders", clock.now_ns())
    state = ledger.budget_state([key])[key]
    ledger.close()
    assert lost
    assert till_usd <= CAP_USD
    assert 0.95 * CAP_USD <= state.spent_usd + state.reserved_usd <= CAP_USD
    assert till_usd >= state.spent_usd - 1e-9  # what was lost was sold too, and is not known
