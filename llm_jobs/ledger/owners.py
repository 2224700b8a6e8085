"""Who claims calls, and whether that process still runs.

On the same host and boot the process itself is looked up, by pid and start time, so that a killed run's claims are
free at once. Elsewhere only the age of the last heartbeat can be known. Containers of one host share its boot and not
its pids, so the pid namespace is part of the host's name. What a dead owner loses is decided by the ledger, not here.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from llm_jobs.ledger.base import OwnerIdentity

OWNER_TIMEOUT_S = 60.0

# Start times are ticks since boot turned into wall time, so they move when the clock is stepped. A pid does not come
# round again within some seconds, so the tolerance costs nothing.
_SAME_START_S = 5.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = "/proc/self/ns/pid"


def this_process(run_id: str | None = None) -> OwnerIdentity:
    """The identity of the calling process, which works for the Dagster run `run_id`."""
    process = psutil.Process()
    return OwnerIdentity(
        host=_host(), boot_id=_boot_id(), pid=process.pid, started=process.create_time(), run_id=run_id
    )


def is_alive(
    identity: OwnerIdentity, *, last_heartbeat_ns: int, now_ns: int, timeout_s: float = OWNER_TIMEOUT_S
) -> bool:
    """Whether the owner still runs, as far as this process can know. Times are nanoseconds since 1970."""
    if identity.host == _host():
        if identity.boot_id == _boot_id():
            return _runs(identity)
        # A machine cannot beat after it went down for the boot that runs now. One that did only shares our name.
        if last_heartbeat_ns < psutil.boot_time() * 1e9:
            return False
    return now_ns - last_heartbeat_ns <= timeout_s * 1e9


def _runs(identity: OwnerIdentity) -> bool:
    try:
        process = psutil.Process(identity.pid)
        started = process.create_time()
        return abs(started - identity.started) < _SAME_START_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # it exists, as somebody else's
        return True


def _host() -> str:
    try:
        return f"{socket.gethostname()}/{os.readlink(_PID_NAMESPACE)}"
    except OSError:  # no Linux, so no pid namespaces
        return socket.gethostname()


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))
