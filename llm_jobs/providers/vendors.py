"""The providers by kind: where each is reached, which variable holds its key, which origins may have that key.

Plain facts; an origin is `scheme://host[:port]`, normalised. What the operator sets in the environment counts as
listed; what a document says never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm_jobs.documents.identity import normalised_url
from llm_jobs.errors import DocumentError, Problem

_OLLAMA_PORT = 11434
COSTS_NOTHING = frozenset({"simulated", "sentence-transformers"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """What holds for every model of one provider, unless the catalogue says otherwise."""

    kind: str
    base_url: str = ""
    url_variable: str | None = None
    key_variable: str | None = None
    origins: frozenset[str] = frozenset()


VENDORS: Mapping[str, Vendor] = {
    vendor.kind: vendor
    for vendor in (
        Vendor(kind="simulated"),
        Vendor(
            kind="openai",
            base_url="https://api.openai.com/v1",
            url_variable="OPENAI_BASE_URL",
            key_variable="OPENAI_API_KEY",
            origins=frozenset({"https://api.openai.com"}),
        ),
        Vendor(
            kind="anthropic",
            base_url="https://api.anthropic.com",
            url_variable="ANTHROPIC_BASE_URL",
            key_variable="ANTHROPIC_API_KEY",
            origins=frozenset({"https://api.anthropic.com"}),
        ),
        Vendor(
            kind="ollama",
            base_url=f"http://127.0.0.1:{_OLLAMA_PORT}",
            url_variable="OLLAMA_HOST",
            key_variable="OLLAMA_API_KEY",
            origins=frozenset({"https://ollama.com"}),
        ),
        Vendor(kind="sentence-transformers"),
        Vendor(kind="command"),
    )
}


def reaches_servers(kind: str) -> bool:
    """Whether models of the provider are behind an address."""
    return bool(VENDORS[kind].base_url)


def base_url_of(vendor: Vendor, environment: Mapping[str, str]) -> str:
    """Where the vendor's models are reached: as the operator set it, else the vendor's own address."""
    stated = environment.get(vendor.url_variable, "").strip() if vendor.url_variable else ""
    if not stated:
        return vendor.base_url
    if vendor.kind == "ollama":
        stated = ollama_url(stated)
    return checked_url(stated, named=vendor.url_variable or "")


def origins_of(vendor: Vendor, environment: Mapping[str, str]) -> frozenset[str]:
    """The origins that may have the vendor's key: its own, and that of the address that the operator set."""
    base_url = base_url_of(vendor, environment)
    return vendor.origins | {origin_of(base_url)} if base_url else vendor.origins


def origin_of(url: str) -> str:
    """`scheme://host[:port]` of `url`, normalised."""
    parts = urlsplit(normalised_url(url))
    return f"{parts.scheme}://{parts.netloc}"


def checked_url(url: str, *, named: str) -> str:
    """`url` normalised. Raises DocumentError unless it is http(s) with a host and without credentials or a query."""
    rule = "an address is http://HOST[:PORT][/PATH] or https://…, without credentials, query or fragment"
    try:
        parts = urlsplit(url)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable:
        problem = Problem(what="the address cannot be used", key=named, value=url, rule=rule, remedy="correct it")
        raise DocumentError([problem])
    if "@" in parts.netloc or parts.query or parts.fragment:
        remedy = "remove them; a key belongs into an environment variable that models.yaml names under `key`"
        what = "the address holds credentials, a query or a fragment"
        raise DocumentError([Problem(what=what, key=named, value=None, rule=rule, remedy=remedy)])
    return normalised_url(url)


def ollama_url(host: str) -> str:
    """OLLAMA_HOST as Ollama's own clients read it: scheme, host and port may each be missing."""
    scheme, separator, rest = host.strip().partition("://")
    if not separator:
        scheme, rest, port = "http", host.strip(), _OLLAMA_PORT
    else:
        port = {"http": 80, "https": 443}.get(scheme, _OLLAMA_PORT)
    parts = urlsplit(f"{scheme}://{rest}")
    name = parts.hostname or "127.0.0.1"
    name = f"[{name}]" if ":" in name else name
    return normalised_url(f"{scheme}://{name}:{parts.port or port}{parts.path}")
