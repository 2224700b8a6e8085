"""Pages of an HTTP API: one request, one whole JSON value, or an error that holds no credential.

Only the endpoint's own origin is asked: a redirect or a next page elsewhere is refused, for the token would go with it.
What may pass (429, 5xx, a torn body, a closed connection) is tried again, as long as Retry-After says or with backoff.
No proxy, no cookie, no netrc. Memory: one page.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

import httpx

from llm_jobs.documents.connections import check_host
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import ApiSource
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.sources.json_rows import DECODER, refuse_surrogates
from llm_jobs.sources.problems import Problems, shortened
from llm_jobs.sources.reach import Reach

TRIES = 5
MOST_REDIRECTS = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 120.0
LARGEST_PAGE_BYTES = 64 * 1024 * 1024
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
NOT_ALLOWED = frozenset({401, 403, 407})


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What came back. `next_link`: the URL of the header Link with rel=next."""

    value: JsonValue
    url: str
    next_link: str | None


class _Passing(Exception):
    """A try failed, and another may not. `wait_s`: how long the server asks to wait."""

    def __init__(self, what: str, *, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.wait_s = wait_s


@contextmanager
def open_api(api: ApiSource, reach: Reach, problems: Problems) -> Iterator[ApiClient]:
    """A client for one reading. Raises SetupError where the host is not listed or a credential is not set."""
    check_host(api.endpoint, allowed=reach.allowed_hosts)
    headers = {"Accept": "application/json", **_headers(api, reach.environment)}
    timeout = httpx.Timeout(api.timeout_s)
    verify = ssl.create_default_context()
    with httpx.Client(headers=headers, timeout=timeout, verify=verify, trust_env=False) as client:
        yield ApiClient(api=api, client=client, reach=reach, problems=problems)


@dataclass(kw_only=True, slots=True)
class ApiClient:
    api: ApiSource
    client: httpx.Client = field(repr=False)
    reach: Reach
    problems: Problems
    read_bytes: int = 0

    def page(self, url: str, params: Mapping[str, Any]) -> Page:
        """One page. Raises DocumentError for what is no JSON or too much, SetupError for a server that gives none."""
        wait_s = FIRST_WAIT_S
        for left in reversed(range(TRIES)):
            try:
                return self._try(url, params)
            except _Passing as passing:
                if not left:
                    raise self._unusable(f"{passing.what}, {TRIES} times") from None
                self.reach.sleep(min(passing.wait_s if passing.wait_s is not None else wait_s, LONGEST_WAIT_S))
                wait_s *= 2
        raise AssertionError

    def _try(self, url: str, params: Mapping[str, Any]) -> Page:
        for _ in range(MOST_REDIRECTS):
            answer, body = self._sent(url, params)
            if answer.status_code not in REDIRECTS:
                return self._read(answer, body)
            url, params = self.same_origin(urljoin(url, answer.headers.get("location", ""))), {}
        raise self.refused(f"the server redirects more than {MOST_REDIRECTS} times", remedy="correct the endpoint")

    def _sent(self, url: str, params: Mapping[str, Any]) -> tuple[httpx.Response, bytes]:
        deadline_s = self.reach.now_s() + self.api.timeout_s
        try:
            address = httpx.URL(url).copy_merge_params(dict(params)) if params else httpx.URL(url)
            with self.client.stream(self.api.method, address, json=self.api.body) as answer:
                return answer, self._body(answer, deadline_s)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Passing(f"{type(error).__name__}: {self._shown(str(error))}") from None
        except (httpx.InvalidURL, ValueError):
            raise self.refused("the address is no URL", remedy="correct the endpoint") from None

    def _body(self, answer: httpx.Response, deadline_s: float) -> bytes:
        chunks, size = [], 0
        for chunk in answer.iter_bytes():
            size += len(chunk)
            if size > LARGEST_PAGE_BYTES:
                raise self.refused(
                    f"a page has more than {LARGEST_PAGE_BYTES // 2**20} MiB", remedy="ask for fewer rows per page"
                )
            if self.read_bytes + size > self.api.max_bytes:
                raise self.refused(
                    f"the pages have more than {self.api.max_bytes:,} bytes", remedy="raise limits.max_bytes"
                )
            if self.reach.now_s() > deadline_s:
                raise _Passing(f"no whole answer within {self.api.timeout_s:g} s")
            chunks.append(chunk)
        if answer.is_success:
            self.read_bytes += size
        return b"".join(chunks)

    def _read(self, answer: httpx.Response, body: bytes) -> Page:
        status = answer.status_code
        if status in TRANSIENT:
            raise _Passing(f"HTTP {status}", wait_s=_retry_after(answer, self.reach))
        if status in NOT_ALLOWED:
            raise self._unusable(f"HTTP {status}: the credential is missing, wrong or not allowed to read this")
        if not answer.is_success:
            raise self.refused(f"the server answers HTTP {status}{self._excerpt(body)}", remedy="correct the request")
        try:
            text = body.decode()
            value: JsonValue = DECODER.decode(text)
            refuse_surrogates(value, text)
        except (ValueError, RecursionError):
            kind = answer.headers.get("content-type", "nothing that has a type").partition(";")[0]
            what = f"a page is no JSON: the server sends {self._shown(kind)}{self._excerpt(body)}"
            raise self.refused(what, remedy="check that the endpoint is the API and not a page for people") from None
        return Page(value=value, url=str(answer.url), next_link=answer.links.get("next", {}).get("url"))

    def same_origin(self, url: str) -> str:
        """`url`, if it is of the endpoint's own scheme, host and port. Raises DocumentError."""
        try:
            here, there = httpx.URL(self.api.endpoint), httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            raise self.refused("the server names an address that is no URL", remedy="correct the endpoint") from None
        if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port) or there.userinfo:
            raise self.refused(
                f"the server leads to another host, {there.scheme}://{there.netloc.decode('ascii', 'replace')}",
                remedy="write that address as the endpoint, if the token may go there",
            )
        return url

    def refused(self, what: str, *, remedy: str) -> DocumentError:
        return self.problems.fatal(what, rule="an API lists rows as JSON, from one host", remedy=remedy)

    def _unusable(self, what: str) -> SetupError:
        return SetupError(
            f"{self.api.endpoint} cannot be read: {what}; check the server, the credential and the network"
        )

    def _excerpt(self, body: bytes) -> str:
        """The beginning of an answer; nothing where a credential was sent, which a server may repeat in any form."""
        has_credential = self.api.bearer is not None or any("${" in text for text in self.api.headers.values())
        return "" if has_credential or not body else f", which begins {shortened(body[:60].decode(errors='replace'))}"

    def _shown(self, text: str) -> str:
        return shortened(text)[1:-1]


def _headers(api: ApiSource, environment: Mapping[str, str]) -> dict[str, str]:
    headers = {name: _filled(text, environment, name) for name, text in api.headers.items()}
    if api.bearer is not None:
        headers["Authorization"] = f"Bearer {_value(api.bearer, environment, 'auth')}"
    return headers


def _filled(text: str, environment: Mapping[str, str], where: str) -> str:
    return REFERENCE.sub(lambda match: _value(match[1], environment, f"the header {where}"), text)


def _value(name: str, environment: Mapping[str, str], where: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SetupError(f"the input's {where} needs the variable {name}, which is not set; set it")
    if not value.isascii() or not value.isprintable():
        raise SetupError(f"the variable {name} holds what no header can: printable ASCII only; correct it")
    return value


def _retry_after(answer: httpx.Response, reach: Reach) -> float | None:
    """Seconds of the header Retry-After; None where it says none."""
    stated = answer.headers.get("retry-after", "")
    if stated.isdecimal():
        return float(stated)
    try:
        return max(0.0, parsedate_to_datetime(stated).timestamp() - reach.wall_s())
    except (TypeError, ValueError):
        return None
