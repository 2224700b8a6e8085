"""Models fetched by an Ollama server before they are asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs_tests.cli.house import House


class Pulling(BaseHTTPRequestHandler):
    """Ollama's answer to a pull; a model named `unknown` is not there."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.pulled.append((self.path, body))  # type: ignore[attr-defined]
        unknown = body["model"] == "unknown"
        answer = {"error": "pull model manifest: file does not exist"} if unknown else {"status": "success"}
        payload = json.dumps(answer).encode()
        self.send_response(500 if unknown else 200)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pulling) as server:
        server.pulled = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetched(house: House, *models: str) -> list[dict[str, Any]]:
    steps = [{"name": "fetched", "task": "DownloadModelTask"}]
    job = {"name": "f", "input": {"rows": [{"model": model} for model in models]}, "steps": steps}
    [report] = house.answer(house.write("f.json", {"job": job}))
    assert report.result is not None
    rows: list[dict[str, Any]] = pq.read_table(report.result).to_pylist()
    return rows


def test_a_model_is_fetched_and_its_name_goes_on(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    house = House(tmp_path, {"OLLAMA_HOST": f"127.0.0.1:{server.server_port}"})
    rows = fetched(house, "ollama/all-minilm", "llama3.2", "ollama/all-minilm")
    assert [row["fetched"] for row in rows] == ["ollama/all-minilm", "llama3.2", "ollama/all-minilm"]
    pulled = sorted(server.pulled, key=str)  # type: ignore[attr-defined]
    assert pulled == [
        ("/api/pull", {"model": "all-minilm", "stream": False}),
        ("/api/pull", {"model": "llama3.2", "stream": False}),
    ]


def test_a_plan_fetches_nothing(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    house = House(tmp_path, {"OLLAMA_HOST": f"127.0.0.1:{server.server_port}"})
    steps = [{"name": "fetched", "task": "download_model"}]
    job = {"name": "f", "input": {"rows": [{"model": "ollama/a"}]}, "steps": steps}
    planned = house.invoke("plan", str(house.write("f.json", {"job": job})))
    assert planned.exit_code == 0, planned.output
    assert server.pulled == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("model", "reason"),
    [("ollama/unknown", "file does not exist"), ("simulated", "downloads no models; write ollama/NAME")],
)
def test_a_model_that_cannot_be_fetched_fails_its_row(
    tmp_path: Path, server: ThreadingHTTPServer, model: str, reason: str
) -> None:
    house = House(tmp_path, {"OLLAMA_HOST": f"127.0.0.1:{server.server_port}"})
    [row] = fetched(house, model)
    assert row["llm_status"] == "invalid_input"
    assert reason in row["llm_error"]
