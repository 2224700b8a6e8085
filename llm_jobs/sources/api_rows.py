"""Rows that an HTTP API lists, page after page, in the order in which it lists them. Streams: one page is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from llm_jobs.documents.job import Input
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import ApiSource
from llm_jobs.sources.api_client import ApiClient, Page, open_api
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.reach import Reach

Row = dict[str, JsonValue]


def api_rows(source: Input, reach: Reach, problems: Problems) -> Iterator[Row | None]:
    """Each row once; None for one that is noted as a problem. Raises DocumentError or SetupError."""
    api = source.api
    assert api is not None
    with open_api(api, reach, problems) as client:
        pages = _Pages(api, client, source.batch_size)
        count = 0
        for items in pages:
            for item in items:
                count += 1
                if count > api.max_rows:
                    raise client.refused(
                        f"the server lists more than {api.max_rows:,} rows", remedy="raise limits.max_rows"
                    )
                yield _row(item, count, problems)
        if not count:
            raise client.refused("the server lists no rows", remedy="check the parameters and the pointer `rows`")


class _Pages:
    """The lists of the pages, one after the other."""

    def __init__(self, api: ApiSource, client: ApiClient, batch_size: int | None) -> None:
        self._api = api
        self._client = client
        self._params: dict[str, Any] = dict(api.params)
        if api.paging is not None and api.paging.size is not None and batch_size is not None:
            self._params[api.paging.size] = batch_size
        self._seen: set[tuple[str, str]] = set()

    def __iter__(self) -> Iterator[list[JsonValue]]:
        url: str | None = self._api.endpoint
        params = self._params
        if (counting := self._counting) is not None:
            params = {**params, counting: self._api.paging.first if self._api.paging else 0}
        rows = pages = 0
        while url is not None:
            self._refuse_loop(url, params)
            page = self._client.page(url, params)
            items = self._items(page)
            yield items
            rows, pages = rows + len(items), pages + 1
            url, params = self._after(page, url, params, items=len(items), rows=rows, pages=pages)

    @property
    def _counting(self) -> str | None:
        """The parameter that counts pages or rows."""
        paging = self._api.paging
        return paging.parameter if paging is not None and paging.kind in ("page", "offset") else None

    def _after(
        self, page: Page, url: str, params: dict[str, Any], *, items: int, rows: int, pages: int
    ) -> tuple[str | None, dict[str, Any]]:
        """Where the next page is; None: this was the last."""
        paging = self._api.paging
        if paging is None:
            return None, {}
        if paging.kind == "link":
            return (None if page.next_link is None else self._address(page.url, page.next_link)), {}
        if paging.kind == "next":
            return self._named(page, url, params)
        count = pages if paging.kind == "page" else rows
        return (url if items else None), {**params, str(paging.parameter): paging.first + count}

    def _named(self, page: Page, url: str, params: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        assert self._api.paging is not None
        found = at_pointer(page.value, self._api.paging.pointer or "")
        if found is None or found is False or found == "":
            return None, {}
        if not isinstance(found, str | int):
            raise self._client.refused(
                f"the next page is said by {type(found).__name__}", remedy="correct the pointer paging.next"
            )
        if self._api.paging.parameter is not None:
            return url, {**params, self._api.paging.parameter: found}
        return self._address(page.url, str(found)), {}

    def _address(self, here: str, there: str) -> str:
        return self._client.same_origin(urljoin(here, there))

    def _items(self, page: Page) -> list[JsonValue]:
        found = at_pointer(page.value, self._api.rows)
        if isinstance(found, list):
            return found
        what = "there is nothing" if found is None else f"there is {_called(found)} and no list"
        raise self._client.refused(
            f"{what} at {self._api.rows or 'the top'} of a page", remedy="write under `rows` the pointer of the list"
        )

    def _refuse_loop(self, url: str, params: dict[str, Any]) -> None:
        key = url, repr(sorted(params.items()))
        if key in self._seen:
            raise self._client.refused("the server leads to a page that was read already", remedy="correct `paging`")
        self._seen.add(key)


def at_pointer(value: JsonValue, pointer: str) -> JsonValue:
    """What stands at an RFC 6901 pointer; None where there is nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _row(item: JsonValue, number: int, problems: Problems) -> Row | None:
    if isinstance(item, dict):
        return item
    problems.add(
        f"row {number} is {_called(item)}", value=item, rule="a row is an object", remedy="check the pointer `rows`"
    )
    return None


def _called(value: JsonValue) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else "a number")
