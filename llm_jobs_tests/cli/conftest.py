"""A house per test."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_jobs_tests.cli.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)
