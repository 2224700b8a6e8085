"""Memory: a job about many images, and the same rows with one image changed.

    python -m benchmarks.images                       # 2,000 images of 20 kB
    python -m benchmarks.images --images 20000        # 400 MB of them: some two minutes

The images are made first, on the disk of the repository. The server answers at once and looks at nothing.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from benchmarks.clients.questions import MODEL
from benchmarks.processes import ROOT, Server, Used, model_server, run

CONCURRENCY = 100
# The head of a PNG of 640 × 480; what follows is noise, which nobody decodes.
HEAD = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 640, 480, 8, 2, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--kilobytes", type=int, default=20)
    options = parser.parse_args()
    with model_server(0.0) as server, TemporaryDirectory(dir=ROOT) as folder:
        document = write_images(Path(folder), options.images, options.kilobytes * 1_000)
        _measure(server, Path(folder), document, f"{options.images:,} images")
        (Path(folder) / "0.png").write_bytes(HEAD + b"changed")
        _measure(server, Path(folder), document, "one of them changed")


def write_images(folder: Path, images: int, size_bytes: int) -> Path:
    """So many images, and the document that asks about each; returns the document's path."""
    noise = random.Random(1)
    for number in range(images):
        (folder / f"{number}.png").write_bytes(HEAD + noise.randbytes(size_bytes))
    table = folder / "images.jsonl"
    table.write_bytes(b"".join(orjson.dumps({"path": f"{number}.png"}) + b"\n" for number in range(images)))
    shown = {"role": "user", "content": [{"type": "image", "file": "{{ path }}"}]}
    asked = {"role": "user", "content": "What does {{ path }} show?"}  # which the server repeats: a short answer
    job = {
        "name": "images",
        "model": f"openai/{MODEL}",
        "input": {"source": "file", "path": str(table), "format": "jsonl"},
        "prompts": [{"name": "answer", "messages": [shown, asked]}],
        "execution": {"concurrency": CONCURRENCY},
    }
    document = folder / "images.json"
    document.write_bytes(orjson.dumps({"job": job}))
    return document


def _measure(server: Server, folder: Path, document: Path, what: str) -> None:
    before = server.answered()
    command = [sys.executable, "-m", "benchmarks.clients.run_document", server.url, str(document), str(folder / "home")]
    used = run(command, log=folder / "log.txt", limit_s=3600)
    _tell(what, used, server.answered() - before)


def _tell(what: str, used: Used, calls: int) -> None:
    sys.stdout.write(
        f"{what}: {calls:,} calls, {used.wall_s:.1f} s, {used.cpu_s:.1f} s of CPU, peak {used.peak_mb:.0f} MB\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
