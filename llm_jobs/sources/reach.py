"""What a reading may use of the world outside: credentials by name, hosts, folders, and time to wait.

Given by who reads; a table that lies here needs none of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """`environment` is a live mapping that holds secrets: read by name at the moment of use, never shown."""

    environment: Mapping[str, str] = field(repr=False)
    home: Path
    allowed_hosts: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    sleep: Callable[[float], object] = time.sleep  # between two tries of a request
    now_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time


NOWHERE = Reach(environment={}, home=Path("/nowhere"))
