"""Names to addresses: asked of the system in a thread, kept for a while, taken in turn.

An address that took no connection is left out until the name is asked again, which is at once where none is left.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

KEEP_S = 300


class Address(NamedTuple):
    family: socket.AddressFamily
    sockaddr: Any  # as the system writes it: (host, port) or (host, port, flow, scope)


@dataclass(slots=True)
class _Found:
    addresses: deque[Address]
    until_s: float


class Addresses:
    """A cache of look-ups, for one loop. A name that many ask for at once is looked up once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._found: dict[tuple[str, int], _Found] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def of(self, host: str, port: int) -> list[Address]:
        """The addresses of `host`, another one first each time. Raises OSError (socket.gaierror)."""
        found = self._found.get((host, port))
        if found is None or found.until_s < self._loop.time():
            try:
                addresses = _literal(host, port) or await self._looked_up(host, port)
            except UnicodeError:
                raise OSError("no name of a host is written like this") from None
            found = self._found[host, port] = _Found(deque(addresses), self._loop.time() + KEEP_S)
        found.addresses.rotate(-1)
        return [found.addresses[-1], *list(found.addresses)[:-1]]

    def drop(self, host: str, port: int, address: Address) -> None:
        """Leave `address` out: it took no connection."""
        found = self._found.get((host, port))
        if found is None:
            return
        if address in found.addresses:
            found.addresses.remove(address)
        if not found.addresses:
            del self._found[host, port]

    async def _looked_up(self, host: str, port: int) -> list[Address]:
        asked = self._asked.get((host, port))
        if asked is None:
            asked = self._asked[host, port] = self._loop.create_task(self._ask(host, port))
            asked.add_done_callback(lambda done: self._ended(host, port, done))
        # Whoever is cancelled leaves the others waiting for the same answer.
        return await asyncio.shield(asked)

    def _ended(self, host: str, port: int, asked: asyncio.Task[list[Address]]) -> None:
        self._asked.pop((host, port), None)
        if not asked.cancelled():
            asked.exception()  # seen, also where everybody who waited has been cancelled

    async def _ask(self, host: str, port: int) -> list[Address]:
        return _unique(await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _literal(host: str, port: int) -> list[Address]:
    """The address that `host` is, if it is one: no thread is needed for it."""
    try:
        return _unique(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        return []


def _unique(infos: list[Any]) -> list[Address]:
    return list(dict.fromkeys(Address(info[0], info[4]) for info in infos))
