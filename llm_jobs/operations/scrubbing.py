"""Texts that others wrote (tracebacks, messages of libraries), before a person or a log sees them: without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

_MENTIONS_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "URL", "HEADERS")


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """`text` without the values of variables whose names say that they hold secrets."""
    # The patterns take some tenths of a second to import and compile; only tracebacks and warnings need them.
    from llm_jobs.providers.secrets import Scrubber

    names = [name for name in environment if any(word in name.upper() for word in _MENTIONS_SECRET)]
    values = [environment[name] for name in names]
    return Scrubber([*values, *map(_password, values)]).text(text)


def _password(url: str) -> str:
    """The password in a URL; empty where there is none."""
    return unquote(url.partition("://")[2].rpartition("@")[0].partition(":")[2])
