"""Who may read the metrics: a scrape endpoint of this process, or a push gateway for processes that end too soon.

Neither stops any work: where no port is free, or the gateway does not answer, a line in the log says so.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from urllib.parse import quote
from urllib.request import Request, urlopen

from prometheus_client import push_to_gateway, start_http_server
from prometheus_client.registry import CollectorRegistry

LOG = logging.getLogger(__name__)
JOB = "llm_jobs"
TIMEOUT_S = 5.0
# A gateway forgets nothing by itself. What a process that has ended left there is removed by the next one on its host,
# once every scrape has had time to see it.
FORGET_AFTER_S = 900.0


@contextmanager
def scraped(registry: CollectorRegistry, *, address: str, ports: range) -> Iterator[int | None]:
    """Serve `/metrics` on the first free port of `ports` while the block runs. Gives the port, None where none is."""
    for port in ports:
        try:
            server, thread = start_http_server(port, addr=address, registry=registry)
        except OSError as error:
            reason = error
            continue
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        return
    LOG.warning(
        "metrics are not served: no port of %s-%s on %s is free (%s); give LLM_JOBS_METRICS_PORT as many ports as "
        "processes run at once",
        ports[0],
        ports[-1],
        address,
        reason,
    )
    yield None


@contextmanager
def pushed(
    registry: CollectorRegistry, *, url: str, every_s: float, forget_after_s: float = FORGET_AFTER_S
) -> Iterator[None]:
    """Push to the gateway at `url` each `every_s` seconds while the block runs, and once more at its end. What ended
    processes of this host pushed longer than `forget_after_s` ago is removed first."""
    ended = threading.Event()
    pusher = _Pusher(registry, url)

    def push_on() -> None:
        pusher.forget_the_dead(forget_after_s)
        while not ended.wait(every_s):
            pusher.push()

    thread = threading.Thread(target=push_on, name="llm-jobs-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        pusher.push()


class _Pusher:
    """One process's group in a gateway: `job="llm_jobs"`, `instance="host:pid"`."""

    def __init__(self, registry: CollectorRegistry, url: str) -> None:
        self._registry = registry
        self._url = url if "://" in url else f"http://{url}"
        self._host = socket.gethostname()
        self._silent = False  # the gateway failed, and that was told

    def push(self) -> None:
        group = {"instance": f"{self._host}:{os.getpid()}"}
        try:
            push_to_gateway(self._url, job=JOB, registry=self._registry, grouping_key=group, timeout=TIMEOUT_S)
        except (OSError, HTTPException, ValueError) as error:
            if not self._silent:
                LOG.warning("metrics were not pushed to %s: %s", _without_password(self._url), error)
            self._silent = True
        else:
            self._silent = False

    def forget_the_dead(self, after_s: float) -> None:
        """Remove the groups of ended processes of this host that were pushed longer than `after_s` ago."""
        try:
            with urlopen(f"{self._url}/api/v1/metrics", timeout=TIMEOUT_S) as response:
                groups = json.load(response)["data"]
            for group in groups:
                if self._is_past(group, after_s):
                    instance = quote(group["labels"]["instance"], safe="")
                    path = f"{self._url}/metrics/job/{JOB}/instance/{instance}"
                    urlopen(Request(path, method="DELETE"), timeout=TIMEOUT_S).close()
        except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
            LOG.debug("the groups of ended processes stay in the gateway: %s", error)

    def _is_past(self, group: Mapping[str, object], after_s: float) -> bool:
        labels = group.get("labels")
        if not isinstance(labels, Mapping) or labels.get("job") != JOB:
            return False
        host, _, pid = str(labels.get("instance", "")).rpartition(":")
        if host != self._host or not pid.isdigit() or os.path.exists(f"/proc/{pid}"):
            return False
        return time.time() - _pushed_at_s(group) > after_s


def _pushed_at_s(group: Mapping[str, object]) -> float:
    """When the group was pushed, in seconds since 1970; now, where the gateway does not say."""
    pushed_at = group.get("push_time_seconds")
    metrics = pushed_at.get("metrics") if isinstance(pushed_at, Mapping) else None
    return float(metrics[0]["value"]) if metrics else time.time()


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
