"""bespokelabs-curator with its own OpenAI back end, its cache and its output on disk.

It counts tokens with a vocabulary that tiktoken fetches from the network; here one token is one byte, which costs less.

python -m benchmarks.clients.curator URL CALLS CONCURRENCY FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.clients.questions import MODEL, questions

os.environ["TELEMETRY_ENABLED"] = "false"
os.environ["CURATOR_DISABLE_RICH_DISPLAY"] = "1"
os.environ["OPENAI_API_KEY"] = "sk-benchmark"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import tiktoken
from bespokelabs import curator


def _bytes(_: str) -> tiktoken.Encoding:
    ranks = {bytes([byte]): byte for byte in range(256)}
    return tiktoken.Encoding(name="bytes", pat_str=r"(?s:.)", mergeable_ranks=ranks, special_tokens={})


def main(url: str, calls: int, concurrency: int, folder: Path) -> int:
    """Ask every question; returns how many were answered."""
    os.environ["CURATOR_CACHE_DIR"] = str(folder / "cache")
    asker = curator.LLM(
        model_name=MODEL,
        backend="openai",
        backend_params={
            "base_url": f"{url}/v1",
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
            "require_all_responses": True,
        },
    )
    answered = asker(list(questions(calls)))
    return len(getattr(answered, "dataset", answered))


if __name__ == "__main__":
    tiktoken.get_encoding = _bytes
    found = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    sys.exit(0 if found == int(sys.argv[2]) else f"{found} answers of {sys.argv[2]}")
