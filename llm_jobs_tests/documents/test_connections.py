"""Connections by name: what a document may write, what may be shown of it, and where it may lead."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from llm_jobs.documents.connections import check_host, masked, public_form, resolve_connection, written_password
from llm_jobs.errors import SetupError

PASSWORD = "p@ss/w:rd?#%"
ENVIRONMENT = {
    "LLM_JOBS_CONNECTION_WAREHOUSE": "postgresql://ann:secret@db.example/shop",
    "SHOP_PASSWORD": PASSWORD,
    "SHOP_URL": "postgres://ann:secret@db.example/shop",
}


def resolved(text: str, home: Path, **options: tuple[str, ...]) -> str:
    return resolve_connection(text, environment=ENVIRONMENT, home=home, **options)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "project" / "data"
    home.mkdir(parents=True)
    (home / "connections.yaml").write_text(
        "warehouse: postgresql://from-the-file/shop\n"
        "shop: postgresql://ann:${SHOP_PASSWORD}@db.example:5433/shop\n"
        "whole: ${SHOP_URL}\n"
        "local: sqlite:///reviews.db\n"
        "plain: postgresql://ann:hunter2@db.example/shop\n"
    )
    return home


def test_the_variable_of_a_name_comes_before_the_file(home: Path) -> None:
    assert resolved("warehouse", home) == "postgresql+psycopg://ann:secret@db.example/shop"


def test_a_password_of_any_signs_arrives_whole(home: Path) -> None:
    url = make_url(resolved("shop", home))
    assert (url.password, url.host, url.port, url.database) == (PASSWORD, "db.example", 5433, "shop")


@pytest.mark.parametrize("text", ["whole", "${SHOP_URL}"])
def test_a_variable_may_hold_the_whole_url(home: Path, text: str) -> None:
    assert resolved(text, home) == "postgresql+psycopg://ann:secret@db.example/shop"


@pytest.mark.parametrize("text", ["local", "sqlite:///reviews.db", "reviews.db"])
def test_a_relative_sqlite_file_lies_in_the_project(home: Path, text: str) -> None:
    assert resolved(text, home) == f"sqlite:///{home.parent}/reviews.db"


def test_a_url_in_a_document_leads_to_listed_hosts(home: Path) -> None:
    text = "postgresql://ann:${SHOP_PASSWORD}@db.example/shop"
    assert resolved(text, home, allowed_hosts=("db.example",)).startswith("postgresql+psycopg://ann:p%40ss")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "no connection is named 'nowhere'"),
        ("warehous", "did you mean 'warehouse'"),
        ("plain", "a password stands in the connection postgresql://db.example/shop of connections.yaml"),
        ("postgresql://ann:hunter2@db.example/shop", "a password stands in the connection"),
        ("postgresql://db.example/shop?password=hunter2", "a password stands in the connection"),
        ("postgresql://db.example/shop", "LLM_JOBS_ALLOWED_HOSTS"),
        ("postgresql://listed.example/shop?host=db.example", "the option 'host'"),
        ("postgresql://listed.example,db.example/shop", "may not be reached"),
        ("postgresql:///shop", "names no host"),
        ("postgresql://ann:${MISSING}@listed.example/shop", "MISSING, which is not set"),
        ("../../../outside.db", "outside the allowed folders"),
        ("sqlite:////etc/outside.db", "outside the allowed folders"),
        ("sqlite://", "names no database"),
    ],
)
def test_a_connection_that_may_not_be_used_is_refused_without_its_secret(home: Path, text: str, message: str) -> None:
    with pytest.raises(SetupError) as refusal:
        resolved(text, home, allowed_hosts=("listed.example",))
    assert message in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert PASSWORD not in str(refusal.value)


def test_a_database_in_a_further_root_may_be_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "a.db"
    url = resolve_connection(str(file), environment={}, home=home, roots=[tmp_path / "elsewhere"])
    assert url == f"sqlite:///{file}"


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("api.example", "https://api.example/rows"),
        ("API.example", "https://api.EXAMPLE:8443/rows"),
        ("api.example:8443", "https://api.example:8443/rows"),
        ("api.example:443", "https://api.example/rows"),
        ("[::1]:80", "http://[::1]/rows"),
    ],
)
def test_a_listed_host_may_be_reached(allowed: str, url: str) -> None:
    check_host(url, allowed=[allowed])


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.evil/",
        "https://api.example@evil/",
        "https://api.example:443/x@evil/",
        "https://api.example:8443/",
        "file:///etc",
        "x",
    ],
)
def test_any_other_host_is_refused(url: str) -> None:
    with pytest.raises(SetupError):
        check_host(url, allowed=["api.example:443"])


@given(st.text(alphabet=st.characters(codec="ascii", min_codepoint=32), min_size=1))
def test_no_form_of_a_url_shows_its_password(password: str) -> None:
    url = f"postgresql://ann:{password}@db.example/shop?sslmode=require&sslpassword=hunter2"
    shown = "postgresql://ann:***@db.example/shop?sslmode=require&sslpassword=***"
    assert masked(url) == shown
    assert public_form(url) == "postgresql://db.example/shop?sslmode=require"
    assert written_password(f"postgresql://ann:{password}@db.example/shop")


@pytest.mark.parametrize("text", ["warehouse", "sqlite:///a.db", "postgresql://db.example/shop", "data/a.db"])
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    assert masked(text) == public_form(text) == text
    assert not written_password(text)
