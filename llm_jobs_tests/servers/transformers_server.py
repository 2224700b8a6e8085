"""A real model server: `transformers serve` on a tiny random model that is made here, with no download.

Two layers of 64 units, a byte-pair tokenizer trained on a few sentences, a chat template: nonsense for text, and real
tokens, usage and sampling. Needs the extra `model-server` (torch, transformers).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

_START_S = 120.0
_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_SENTENCES = (
    "Two and two are four.",
    "The quick brown fox jumps over the lazy dog.",
    "A language model answers every question, whether it knows the answer or not.",
)
_MAKE = """
import sys
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

folder, template, *sentences = sys.argv[1:]
special = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
tokenizer.train_from_iterator(
    sentences, trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
)
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
fast.chat_template = template
fast.save_pretrained(folder)
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(fast), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, max_position_embeddings=512, eos_token_id=0, pad_token_id=0, bos_token_id=None,
)
model = LlamaForCausalLM(config)
model.generation_config = GenerationConfig(eos_token_id=0, pad_token_id=0, max_new_tokens=16)
model.save_pretrained(folder)
"""


@contextmanager
def transformers_server(folder: Path) -> Iterator[tuple[str, str]]:
    """Make a tiny model under `folder` and serve it: yields the base URL (with /v1) and the model's name."""
    model = folder / "tiny-model"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    subprocess.run(
        [sys.executable, "-c", _MAKE, str(model), _TEMPLATE, *_SENTENCES],
        check=True,
        env=environment,
        capture_output=True,
    )
    port = _free_port()
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [_transformers(), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        try:
            _wait_until_up(port, process, log)
            yield f"http://127.0.0.1:{port}/v1", str(model)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _transformers() -> str:
    return str(Path(sys.executable).parent / "transformers")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=5):
                return
        except HTTPError as error:
            error.close()
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the model server did not start:\n{log.read_text(errors='replace')[-3000:]}")
