"""Bodies come back byte for byte, whichever release wrote them."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.ledger import payloads
from llm_jobs.ledger.payloads import PayloadCodec, own_codec

ANSWER = (
    b'{"id":"chatcmpl-%d","object":"chat.completion","created":1700000000,"model":"gpt-4.1-mini","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"The battery holds a day.","refusal":null},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":12,"total_tokens":36}}'
)


def test_the_dictionary_never_changes() -> None:
    content = Path(payloads.__file__).with_name("payloads-1.dict").read_bytes()

    assert hashlib.sha256(content).hexdigest()[:32] == "5286912f7332129ff8be88f9ee9fa51b"


@given(st.binary(max_size=5000))
def test_any_body_comes_back(body: bytes) -> None:
    codec = PayloadCodec()

    assert codec.unpack(codec.pack(body)) == body


@given(st.lists(st.binary(max_size=500), max_size=20))
def test_any_bodies_come_back_from_being_compressed_together(bodies: list[bytes]) -> None:
    codec = PayloadCodec()

    assert [codec.unpack(packed) for packed in codec.pack_all(bodies)] == bodies


@pytest.mark.parametrize("body", [b"", b"x", ANSWER % 1, bytes(range(256)) * 40], ids=["none", "one", "json", "binary"])
def test_frames_of_the_first_release_are_read(body: bytes) -> None:
    assert PayloadCodec().unpack(zstandard.ZstdCompressor(level=3).compress(body)) == body


def test_a_frame_of_the_second_release_is_read() -> None:
    stored = bytes.fromhex(
        "28b52ffd62419c3200ed010013c205a9947cae41d741d9eaedf3ead2d6a3f6eddd7efe5a2f330cfcf0ae5aa244718c929a96768a04895effc870c33b8e10c61e8ed38424288977548a"
    )

    assert PayloadCodec().unpack(stored) == ANSWER % 7


def test_what_models_answer_takes_half_the_room_that_zstd_alone_needs() -> None:
    alone = len(zstandard.ZstdCompressor(level=3).compress(ANSWER % 1))

    assert len(PayloadCodec().pack(ANSWER % 1)) < alone / 2


def test_threads_with_codecs_of_their_own_do_not_disturb_each_other() -> None:
    wrong: list[bytes] = []

    def work(name: int) -> None:
        codec = PayloadCodec()
        for number in range(2000):
            body = ANSWER % (name * 10_000 + number)
            if codec.unpack(codec.pack(body)) != body:
                wrong.append(body)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_each_thread_has_one_codec_of_its_own() -> None:
    with ThreadPoolExecutor(1) as other:
        theirs, again = other.submit(own_codec).result(), other.submit(own_codec).result()
    assert own_codec() is own_codec()
    assert theirs is again
    assert own_codec() is not theirs
