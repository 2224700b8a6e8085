"""Conditions: a job starts when they hold, and what holds it back is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from llm_jobs.errors import SetupError
from llm_jobs.operations.intake import intake
from llm_jobs.operations.launchable import MOST_TOLD, launchable
from llm_jobs.operations.recurring import submit_recurring
from llm_jobs.sources.counting import first_number
from llm_jobs_tests.operations.launching import House, document, opened
from llm_jobs_tests.servers.postgres import PostgresServer, postgres_server

WINDOW = 'conditions: [{type: time_window, start: "09:00", end: "17:00", timezone: Europe/Paris}]'
DATA = "conditions: [{type: data_available, check: SELECT COUNT(*) FROM new_data, threshold: 3}]"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE new_data (id INTEGER)")
    connection.close()
    return path


@pytest.fixture
def house(tmp_path: Path, shop: Path) -> Iterator[House]:
    with opened(tmp_path, LLM_JOBS_CONNECTION_DEFAULT=f"sqlite:///{shop}") as found:
        yield found


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def fill(shop: Path, rows: int) -> None:
    with sqlite3.connect(shop) as connection:
        connection.executemany("INSERT INTO new_data VALUES (?)", [(row,) for row in range(rows)])
    connection.close()


def started(house: House) -> list[str]:
    return [job.name for job in launchable(house.services).jobs]


def test_a_job_starts_within_its_window_and_says_when_that_is(tmp_path: Path) -> None:
    with opened(tmp_path, utc="2026-11-20T17:00:00") as house:
        house.drop("a.yaml", document("reviews", WINDOW))
        assert started(house) == []
        reason = "it starts within 09:00-17:00 Europe/Paris only, next at 2026-11-21 09:00+01:00"
        assert house.statuses() == {"reviews": ("gated", reason)}
    with opened(tmp_path, utc="2026-11-21T08:00:00") as house:  # after a restart, a day later
        assert started(house) == ["reviews"]
        assert house.statuses() == {"reviews": ("null-result", None)}


def test_a_job_starts_once_its_data_is_there(house: House, shop: Path) -> None:
    house.drop("a.yaml", document("reviews", DATA))
    fill(shop, 2)
    (gated,) = launchable(house.services).gated
    assert (gated.name, gated.is_news) == ("reviews", True)
    assert gated.reason == "'SELECT COUNT(*) FROM new_data' gives 2 of the 3 that it waits for"
    fill(shop, 1)
    assert started(house) == ["reviews"]


def test_what_gates_a_job_is_news_once_and_a_count_at_most_every_ten_minutes(house: House, shop: Path) -> None:
    house.drop("a.yaml", document("reviews", DATA))
    news = []
    for _ in range(3):
        (gated,) = launchable(house.services).gated
        news.append(gated.is_news)
    assert news == [True, False, False]
    fill(shop, 1)
    assert not launchable(house.services).gated[0].is_news
    house.clock.advance(2 * 24 * 3600)
    assert launchable(house.services).gated[0].is_news


def test_jobs_with_the_same_check_ask_it_once_and_one_whose_check_fails_holds_no_other_up(house: House) -> None:
    house.drop("a.yaml", document("broken", DATA.replace("new_data", "nowhere")))
    house.drop("b.yaml", document("free", text="Name a fruit."))
    found = launchable(house.services)
    assert [job.name for job in found.jobs] == ["free"]
    assert "no such table: nowhere" in found.gated[0].reason


def test_a_connection_that_nobody_named_is_told_before_anything_waits_for_it(tmp_path: Path) -> None:
    with opened(tmp_path) as house:
        report = house.drop("a.yaml", document("reviews", DATA))
        assert not report.accepted
        assert "no connection is named 'default'" in report.postponed[0].reason


def test_a_tick_that_came_later_replaces_one_that_is_still_gated(house: House, shop: Path) -> None:
    path = house.keep("recurring", "daily.yaml", document("daily", "schedule: {cron: 0 9 * * *}", DATA))
    submit_recurring(house.services, path, tick_ns=1)
    assert started(house) == []
    path.write_text(document("daily", "schedule: {cron: 0 9 * * *}", DATA, text="Name a fruit."))
    (newest,) = submit_recurring(house.services, path, tick_ns=2).accepted
    fill(shop, 3)
    found = launchable(house.services)
    assert [job.job_hash for job in found.jobs] == [newest.job.hash]
    assert "a later tick" in found.gated[0].reason


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_check_reads_one_number_and_the_database_refuses_to_write(
    dialect: str, shop: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{shop}" if dialect == "sqlite" else _with_table(request.getfixturevalue("postgres"))
    assert first_number(url, "SELECT COUNT(*) FROM new_data") == 0
    assert first_number(url, "SELECT 2.5 WHERE '12:30 50%' LIKE '%:30%'") == 2.5
    assert first_number(url, "SELECT id FROM new_data") == 0
    with pytest.raises(SetupError, match="no number"):
        first_number(url, "SELECT 'many'")
    writes = "WITH x AS (SELECT 1) INSERT INTO new_data SELECT 1" + (" RETURNING id" if dialect == "postgresql" else "")
    with pytest.raises(SetupError, match=r"readonly|syntax error"):
        first_number(url, writes)
    with pytest.raises(SetupError, match=r"multiple commands|one statement"):
        first_number(url, "SELECT 1; COMMIT; INSERT INTO new_data VALUES (1)")
    assert first_number(url, "SELECT COUNT(*) FROM new_data") == 0


def _with_table(server: PostgresServer) -> str:
    url = server.create_database("shop")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE new_data (id INTEGER)")
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_a_slow_check_is_given_up(postgres: PostgresServer) -> None:
    url = postgres.create_database("slow").replace("postgresql://", "postgresql+psycopg://")
    with pytest.raises(SetupError, match="statement timeout"):
        first_number(url, "SELECT 1 FROM pg_sleep(60)", timeout_s=1)


def test_no_password_is_told_where_a_database_is_not_there() -> None:
    with pytest.raises(SetupError) as caught:
        first_number("postgresql+psycopg://ann:s3cret@127.0.0.1:9/shop", "SELECT 1")
    assert "s3cret" not in str(caught.value)


def test_of_many_gated_jobs_some_hundreds_are_told_at_each_look(tmp_path: Path) -> None:
    with opened(tmp_path, utc="2026-11-20T17:00:00") as house:
        for number in range(MOST_TOLD + 20):
            house.keep("inbox", f"{number}.yaml", document(f"job {number}", WINDOW, text=f"Name colour {number}."))
        intake(house.services, budget_s=60)
        looks = [launchable(house.services).gated for _ in range(3)]
        assert [len(look) for look in looks] == [MOST_TOLD + 20] * 3
        assert [sum(job.is_news for job in look) for look in looks] == [MOST_TOLD, 20, 0]
