"""A real Prometheus and a real push gateway on free loopback ports, gone with their data when the block ends."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

T = TypeVar("T")
PATIENCE_S = 60.0
POLL_S = 0.05


class Prometheus:
    """A server that scrapes what it was told to, twice a second."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What PromQL answers: labels and value of each series."""
        with urlopen(f"{self.url}/api/v1/query?{urlencode({'query': query})}", timeout=10) as response:
            told: dict[str, Any] = json.load(response)
        assert told["status"] == "success", told
        return [(each["metric"], float(each["value"][1])) for each in told["data"]["result"]]

    def until(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What it answers, once there is something."""
        return patiently(lambda: self.ask(query), what=query)


@contextmanager
def prometheus(targets: Sequence[str], *, honor_labels: bool = False) -> Iterator[Prometheus]:
    """Scrape `targets` (`host:port`)."""
    with tempfile.TemporaryDirectory(prefix="prometheus-") as folder:
        scrape = {"job_name": "llm-jobs", "honor_labels": honor_labels, "static_configs": [{"targets": list(targets)}]}
        settings = {"global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"}, "scrape_configs": [scrape]}
        (file := Path(folder, "prometheus.yml")).write_text(json.dumps(settings))  # JSON is YAML
        port = free_port()
        options = [
            f"--config.file={file}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with _running("prometheus", options, f"http://127.0.0.1:{port}/-/ready"):
            yield Prometheus(f"http://127.0.0.1:{port}")


@contextmanager
def push_gateway() -> Iterator[str]:
    """A push gateway; gives `host:port`."""
    port = free_port()
    options = [f"--web.listen-address=127.0.0.1:{port}"]
    with _running("prometheus-pushgateway", options, f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(program: str, options: Sequence[str], ready: str) -> Iterator[None]:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not installed: apt-get install prometheus prometheus-pushgateway")
    process = subprocess.Popen([found, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        patiently(lambda: _answers(ready), what=program)
        yield
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except URLError:
        return False


def patiently(look: Callable[[], T], *, what: str) -> T:
    """What `look` finds, as soon as it finds something that counts as true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"nothing came of {what} in {PATIENCE_S:.0f} s")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
