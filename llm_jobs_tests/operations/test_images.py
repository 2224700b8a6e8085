"""Images from the document to the result: what is sent, what is asked again, and whose error is whose."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.documents.identity import canonical_line
from llm_jobs.errors import DocumentError
from llm_jobs.operations.accept import read_jobs
from llm_jobs.operations.overrides import NO_OVERRIDES
from llm_jobs.operations.plan import JobPlan, plan_named
from llm_jobs.pipelines.builder import Builder
from llm_jobs.pipelines.written import written_job
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.spoken import MODEL, answered
from llm_jobs_tests.pictures import png
from llm_jobs_tests.servers.speaking import Speaking

IMAGE = {"type": "image", "file": "{{ path }}"}
QUESTION = {"type": "text", "text": "What is {{ id }}?"}


def document(*parts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], **members: Any) -> dict[str, Any]:
    prompt = {"name": "said", "messages": [{"role": "user", "content": list(parts)}]}
    return {"job": {"name": "seen", "model": MODEL, "input": {"rows": list(rows)}, "prompts": [prompt], **members}}


def pictured(house: House, *seeds: int, folder: str = "photos") -> list[dict[str, Any]]:
    """A row per image, and the images."""
    (house.folder / folder).mkdir(exist_ok=True)
    for seed in seeds:
        (house.folder / folder / f"{seed}.png").write_bytes(png(seed))
    return [{"id": seed, "path": f"{folder}/{seed}.png"} for seed in seeds]


def shown(speaking: Speaking) -> list[bytes]:
    """The images that the model was shown, in order of their asking."""
    urls = [
        part["image_url"]["url"]
        for body in speaking.bodies
        for part in body["messages"][-1]["content"]
        if part["type"] == "image_url"
    ]
    return [base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True) for url in urls]


def planned(house: House, value: Mapping[str, Any]) -> JobPlan:
    path = house.write("job.json", value)
    with house.entry.open_services() as services:
        [plan] = plan_named(services, str(path))
        return plan


def test_each_row_s_image_reaches_the_model(house: House, speaking: Speaking) -> None:
    report, rows = answered(house, document(QUESTION, IMAGE, rows=pictured(house, 1, 2, 3)))
    assert (report.succeeded, [row["said"] for row in rows]) == (3, [f"[What is {each}?]" for each in (1, 2, 3)])
    assert sorted(shown(speaking)) == sorted(png(seed) for seed in (1, 2, 3))


def test_images_that_moved_are_not_asked_about_again(house: House, speaking: Speaking) -> None:
    answered(house, document(IMAGE, rows=pictured(house, 1, 2)))
    moved = pictured(house, 1, 2, folder="archive")
    (house.folder / "photos/1.png").unlink()
    report, _ = answered(house, document(IMAGE, rows=moved))
    assert (report.succeeded, report.calls_sent, len(speaking.bodies)) == (2, 0, 2)


def test_an_image_that_changed_is_asked_about_and_its_neighbours_are_not(house: House, speaking: Speaking) -> None:
    value = document(IMAGE, rows=pictured(house, 1, 2, 3))
    answered(house, value)
    (house.folder / "photos/2.png").write_bytes(png(9))
    assert (planned(house, value).calls.new, planned(house, value).calls.reused) == (1, 2)
    report, _ = answered(house, value)
    assert (report.calls_sent, report.calls_reused) == (1, 2)
    assert shown(speaking)[-1] == png(9)


def test_the_same_names_in_two_folders_are_two_jobs_where_the_images_differ(house: House) -> None:
    hashes = set()
    for folder, seed in (("a", 1), ("b", 2), ("c", 2)):
        (house.folder / folder).mkdir()
        (house.folder / folder / "x.png").write_bytes(png(seed))
        path = house.write(f"{folder}/job.json", document(IMAGE, rows=[{"path": "x.png"}]))
        hashes.add(house.accept(path)[0].hash)
    assert len(hashes) == 2


def test_a_row_whose_image_is_none_fails_alone_and_costs_nothing(house: House, speaking: Speaking) -> None:
    rows = pictured(house, 1, 2)
    (house.folder / "photos/2.png").write_bytes(b"<svg/>")
    rows.append({"id": 3, "path": "photos/missing.png"})
    rows.append({"id": 4, "path": "/etc/passwd"})
    value = document(IMAGE, rows=rows)
    plan = planned(house, value)
    assert (plan.rows.new, plan.rows.unaskable) == (1, 3)
    _, told = answered(house, value)
    assert [row["llm_status"] for row in told] == ["succeeded", *["invalid_input"] * 3]
    for row, why in zip(told[1:], ("is no image", "does not exist", "outside the allowed folders"), strict=True):
        assert why in row["llm_error"]
    assert len(speaking.bodies) == 1


def test_an_image_that_appears_later_is_asked_about_then(house: House) -> None:
    rows = [*pictured(house, 1), {"id": 2, "path": "photos/2.png"}]
    report, _ = answered(house, document(IMAGE, rows=rows))
    assert report.failed == 1
    pictured(house, 2)
    report, _ = answered(house, document(IMAGE, rows=rows))
    assert (report.succeeded, report.calls_sent) == (2, 1)


def test_what_is_recorded_holds_the_digest_and_no_bytes(house: House) -> None:
    answered(house, document(IMAGE, rows=pictured(house, 1)))
    [path] = [*house.home.glob("ledger.db")]
    encoded = base64.b64encode(png(1))
    for file in (path, *house.home.glob("**/*.parquet"), *house.home.glob("jobs/**/*")):
        assert not file.is_file() or encoded not in file.read_bytes()
    result = house.invoke("show", "seen", "--row", "0", "--json")
    assert "sha256:" in result.output, result.output
    assert encoded.decode() not in result.output


def test_an_image_may_come_from_the_answer_of_a_step_before(house: House, speaking: Speaking) -> None:
    pictured(house, 1)
    first = {"name": "named", "text": "photos/{{ id }}.png"}
    value = document({"type": "image", "file": "{{ named[1:-1] }}"}, rows=[{"id": 1}])
    value["job"]["prompts"].insert(0, first)
    report, _ = answered(house, value)
    assert report.succeeded == 1
    assert base64.b64encode(png(1)).decode() in str(speaking.bodies[-1])


@contextmanager
def in_pairs() -> Iterator[str]:
    """A server that sends its two images only while both are asked for; its host."""
    both = threading.Barrier(2, timeout=10)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.command == "GET":
                both.wait()
            content = png(len(self.path))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if self.command == "GET" else b"")

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_images_behind_urls_are_looked_at_together_while_a_job_is_frozen(house: House) -> None:
    with in_pairs() as host:
        house.variables["LLM_JOBS_ALLOWED_HOSTS"] = host
        rows = [{"id": each, "path": f"http://{host}/{each}"} for each in ("a", "bb")]
        path = house.write("job.json", document(IMAGE, rows=rows))
        with house.entry.open_services() as services:
            [job] = read_jobs(services, path, NO_OVERRIDES)
    identities = [{"images": [hashlib.sha256(png(len(name))).hexdigest()]} for name in ("/a", "/bb")]
    assert job.images is not None
    assert job.images.digest == hashlib.sha256(b"".join(map(canonical_line, identities))).hexdigest()


def test_images_that_answers_name_by_url_are_fetched_together_and_away_from_the_event_loop(house: House) -> None:
    with in_pairs() as host:
        house.variables["LLM_JOBS_ALLOWED_HOSTS"] = host
        value = document({"type": "image", "file": "{{ named[1:-1] }}"}, rows=[{"id": "a"}, {"id": "bb"}])
        value["job"]["prompts"].insert(0, {"name": "named", "text": f"http://{host}/{{{{ id }}}}"})
        report, _ = answered(house, value)
    assert report.succeeded == 2


def test_a_url_is_the_vendor_s_to_fetch_and_its_text_is_its_identity(house: House, speaking: Speaking) -> None:
    part = {"type": "image", "url": "https://images.example/{{ id }}.png", "detail": "high"}
    report, _ = answered(house, document(part, rows=[{"id": 1}]))
    assert report.succeeded == 1
    assert speaking.bodies[0]["messages"][-1]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://images.example/1.png", "detail": "high"}}
    ]


def test_a_job_with_images_is_the_same_after_every_round_trip(house: House) -> None:
    value = document(QUESTION, IMAGE, rows=pictured(house, 1))
    [job] = house.accept(house.write("job.json", value))
    assert job_from_json(job_to_json(job)) == job
    written = {"job": written_job(job, usual=lambda name: None)}
    assert house.accept(house.write("again.json", written))[0].hash == job.hash
    built = Builder.from_job(written).to_job()
    assert house.accept(house.write("built.json", built))[0].hash == job.hash


def test_a_text_is_hashed_as_it_was_before_there_were_parts(house: House) -> None:
    value = document(rows=[{"id": 1}], prompts=[{"name": "said", "text": "Hi"}])
    [text] = house.accept(house.write("text.json", value))
    assert text.images is None
    assert text.steps[0].identity()["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": [{"type": "image"}]}, "is no image part"),
        ({"role": "user", "content": [{"type": "image", "file": "a", "url": "b"}]}, "is no image part"),
        ({"role": "user", "content": [{"type": "text", "file": "a"}]}, "is no text part"),
        ({"role": "user", "content": [{"type": "picture", "file": "a"}]}, "type"),
        ({"role": "user", "content": [{"type": "image", "file": "a", "detail": "best"}]}, "detail"),
        ({"role": "user", "content": [{"type": "image", "path": "a"}]}, "unknown key 'path'"),
        ({"role": "system", "content": [{"type": "image", "file": "a"}]}, "messages of the user alone"),
        ({"role": "user", "content": [{"type": "image", "file": "{{ nothing }}"}]}, "does not have"),
    ],
)
def test_a_part_that_is_none_is_refused_before_anything_is_asked(house: House, message: Any, said: str) -> None:
    value = document(rows=[{"id": 1}], prompts=[{"name": "said", "messages": [message]}])
    with pytest.raises(DocumentError, match=said):
        house.accept(house.write("job.json", value))


def test_an_embedding_has_no_images(house: House) -> None:
    value = document(IMAGE, rows=[{"path": "a.png"}])
    value["job"]["prompts"][0]["operation"] = "embeddings"
    with pytest.raises(DocumentError, match="embeddings are made of one text"):
        house.accept(house.write("job.json", value))


def test_ollama_is_told_at_once_that_it_fetches_no_images(house: House) -> None:
    value = document({"type": "image", "url": "https://images.example/a.png"}, rows=[{"id": 1}])
    value["job"]["model"] = "ollama/llava"
    path = house.write("job.json", value)
    with house.entry.open_services() as services, pytest.raises(DocumentError, match="Ollama fetches no images"):
        read_jobs(replace(services, asks_servers=False), path, NO_OVERRIDES)


def test_a_report_names_the_image_by_its_digest_and_loads_none(house: House) -> None:
    answered(house, document(IMAGE, rows=pictured(house, 1)))
    result = house.invoke("report", "seen", "--out", "seen.html")
    assert result.exit_code == 0, result.output
    page = (house.folder / "seen.html").read_text(encoding="utf-8")
    assert f"sha256:{hashlib.sha256(png(1)).hexdigest()}" in page
    assert "photos/1.png" in page
    assert base64.b64encode(png(1)).decode() not in page
    assert 'src="photos' not in page
