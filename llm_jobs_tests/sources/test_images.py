"""Image files: what kind they are, where they may lie, and that what is sent is what was looked at."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.content import Image, ImagePart
from llm_jobs.errors import PermanentError, RowError
from llm_jobs.sources.image_kinds import ImageKind, image_kind
from llm_jobs.sources.images import LARGEST_BYTES, ImageFinder, ImageMemory
from llm_jobs_tests.pictures import gif, jpeg, png, webp

KINDS = {
    "png": (png(width=300, height=200), "image/png"),
    "jpeg": (jpeg(), "image/jpeg"),
    "gif": (gif(), "image/gif"),
    "lossy webp": (webp(b"VP8 "), "image/webp"),
    "lossless webp": (webp(b"VP8L"), "image/webp"),
    "extended webp": (webp(b"VP8X"), "image/webp"),
}


def finder(folder: Path, *, roots: tuple[Path, ...] = (), hosts: tuple[str, ...] = ()) -> ImageFinder:
    return ImageFinder(folders=[folder], roots=roots, allowed_hosts=hosts, memory=ImageMemory())


def find(folder: Path, name: str) -> Image:
    return finder(folder).find(ImagePart(file=name))


@pytest.mark.parametrize(("content", "media_type"), KINDS.values(), ids=KINDS)
def test_an_image_is_known_by_its_bytes_and_so_is_its_size(content: bytes, media_type: str) -> None:
    assert image_kind(content) == ImageKind(media_type, 300, 200)


@given(st.sampled_from([content for content, _ in KINDS.values()]), st.integers(0, 120), st.binary(max_size=40))
def test_a_torn_image_is_of_some_size_or_none_and_breaks_nothing(content: bytes, length: int, more: bytes) -> None:
    kind = image_kind(content[:length] + more)
    assert kind is None or kind.media_type in {media_type for _, media_type in KINDS.values()}


def test_an_image_has_the_digest_of_its_bytes_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/renamed"):
        (tmp_path / name).write_bytes(png(1))
    first, second = find(tmp_path, "a.png"), find(tmp_path, "sub/renamed")
    assert first == second
    assert first.sha256 == hashlib.sha256(png(1)).hexdigest()
    assert (first.media_type, first.width, first.read()) == ("image/png", 8, png(1))


def test_a_file_that_changed_after_it_was_looked_at_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    found = find(tmp_path, "a.png")
    (tmp_path / "a.png").write_bytes(png(2))
    with pytest.raises(PermanentError, match=r"a\.png has changed since it was looked at; nothing was sent"):
        found.read()
    (tmp_path / "a.png").unlink()
    with pytest.raises(PermanentError, match="cannot be read any more"):
        found.read()


def test_a_file_that_changed_between_two_looks_is_another_image(tmp_path: Path) -> None:
    looking = finder(tmp_path)
    (tmp_path / "a.png").write_bytes(png(1))
    first = looking.find(ImagePart(file="a.png"))
    (tmp_path / "a.png").write_bytes(png(2))
    assert looking.find(ImagePart(file="a.png")).sha256 != first.sha256


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.png", None, "does not exist"),
        ("text.png", b"no image at all", "is no image that models take"),
        ("drawing.svg", b"<svg/>", "image/png, image/jpeg, image/gif, image/webp"),
        ("large.png", png() + b"\0" * LARGEST_BYTES, "at most 20,000,000 are sent"),
        ("", None, "empty"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RowError, match=said):
        find(tmp_path, name)


def test_a_file_outside_the_allowed_folders_is_refused_a_link_to_it_too(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    (outside / "a.png").write_bytes(png())
    (inside / "link.png").symlink_to(outside / "a.png")
    for name in (str(outside / "a.png"), "../outside/a.png", "link.png"):
        with pytest.raises(RowError, match="outside the allowed folders"):
            find(inside, name)
    allowed = finder(inside, roots=(outside,)).find(ImagePart(file="link.png"))
    assert allowed.read() == png()


def test_an_image_behind_a_url_is_read_from_allowed_hosts_alone(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/bucket/a.png", png(3))
    part = ImagePart(file="memory://bucket/a.png")
    with pytest.raises(RowError, match="may not be reached"):
        finder(tmp_path).find(part)
    found = finder(tmp_path, hosts=("memory://bucket",)).find(part)
    assert (found.sha256, found.read()) == (hashlib.sha256(png(3)).hexdigest(), png(3))


@pytest.mark.parametrize("url", ["simplecache::memory://bucket/a.png", "memory://user:secret@bucket/a.png"])
def test_a_chained_url_or_one_with_credentials_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(RowError, match="chained or holds credentials") as caught:
        finder(tmp_path, hosts=("memory://bucket",)).find(ImagePart(file=url))
    assert "secret" not in str(caught.value)


def test_looking_ahead_passes_over_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    looking = finder(tmp_path)
    looking.look_ahead([ImagePart(file="a.png"), ImagePart(file="missing.png")])
    assert looking.find(ImagePart(file="a.png")).read() == png()


@contextmanager
def torn_images() -> Iterator[tuple[str, list[str]]]:
    """A server that promises images and sends a part of one, or 503; its host, and every request for bytes."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()

        def do_GET(self) -> None:
            asked.append(self.path)
            is_torn = self.path == "/torn.png"
            self.send_response(200 if is_torn else 503)
            self.send_header("Content-Length", "5000" if is_torn else "0")
            self.end_headers()
            self.wfile.write(b"x" * 100 if is_torn else b"")
            self.close_connection = True

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("name", ["torn.png", "busy.png"])
def test_a_server_that_fails_is_the_error_of_its_row_and_asked_once(tmp_path: Path, name: str) -> None:
    with torn_images() as (host, asked):
        looking, part = finder(tmp_path, hosts=(host,)), ImagePart(file=f"http://{host}/{name}")
        looking.look_ahead([part])
        before = len(asked)
        assert before > 0
        for _ in range(2):
            with pytest.raises(RowError, match=rf"the image http://{host}/{name} cannot be read"):
                looking.find(part)
        assert len(asked) == before
