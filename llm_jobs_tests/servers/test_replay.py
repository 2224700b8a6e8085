"""The replay server itself: it answers from its table, keeps true books, and fails as planned."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import aiohttp
import orjson
import pytest

from llm_jobs_tests.servers.faults import FaultPlan
from llm_jobs_tests.servers.replay import ModelServer, replay_server
from llm_jobs_tests.servers.wire import listening


def body(text: str, model: str = "m") -> bytes:
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": text}]})


def post(url: str, payload: bytes) -> Any:
    with urlopen(Request(f"{url}/v1/chat/completions", data=payload), timeout=10) as response:
        return orjson.loads(response.read())["choices"][0]["message"]["content"]


def test_a_server_process_answers_from_its_table_and_keeps_its_books() -> None:
    with replay_server(answers={"2 + 2": "4"}, by_model=[("big", "2 + 2", "four")], latency_s=0.05) as server:
        assert post(server.url, body("2 + 2")) == "4"
        assert post(server.url, b" " + body("2 + 2")) == "4"
        assert post(server.url, body("2 + 2", "big")) == "four"
        assert post(server.url, body("else")) == "echo: else"
        stats = server.stats()
        assert (stats["total"], stats["distinct"]) == (4, 3)
        assert sorted(stats["by_body"].values()) == [1, 1, 2]
        received, answered, _, status = stats["log"][0]
        assert answered - received == 50_000_000
        assert status == 200
        server.reset()
        assert server.stats()["total"] == 0


def test_what_is_no_request_is_refused() -> None:
    with replay_server() as server:
        for path, payload, status in (("/v1/chat/completions", b"{", 400), ("/nowhere", body("x"), 404)):
            with pytest.raises(HTTPError) as caught:
                urlopen(Request(server.url + path, data=payload), timeout=10)
            assert caught.value.code == status
            caught.value.close()


async def outcomes(plan: FaultPlan, texts: Iterable[str]) -> list[str]:
    server = ModelServer(plan=plan)
    told = []
    async with listening(server) as address, aiohttp.ClientSession() as session:
        for text in texts:
            try:
                async with session.post(f"{address.url}/v1/chat/completions", data=body(text)) as response:
                    await response.read()
                    told.append(str(response.status))
            except aiohttp.ClientError as error:
                told.append(type(error).__name__)
    await asyncio.sleep(0)
    return told


def test_faults_come_in_their_shares_and_are_the_same_for_one_seed() -> None:
    plan = FaultPlan(seed=7, rate_limited=0.1, failing=0.05, torn=0.05, closed=0.05)
    texts = [f"question {at}" for at in range(400)]
    first = asyncio.run(outcomes(plan, texts))
    assert first == asyncio.run(outcomes(plan, texts))
    counted = Counter(first)
    assert 20 < counted["429"] < 65
    assert 8 < counted["500"] < 40
    assert 8 < counted["ClientPayloadError"] < 40
    assert 8 < counted["ServerDisconnectedError"] < 40
    assert counted["200"] > 250


def test_a_repeated_request_meets_another_fate_and_poison_always_the_same() -> None:
    plan = FaultPlan(seed=1, failing=0.5, poison="POISON")
    told = asyncio.run(outcomes(plan, ["same"] * 40))
    assert {"200", "500"} == set(told)
    assert asyncio.run(outcomes(plan, ["POISON here"] * 3)) == ["400"] * 3


def test_headers_are_repeated_when_planned() -> None:
    plan = FaultPlan(echo_headers="url")
    with replay_server(plan=plan) as server:
        request = Request(f"{server.url}/v1/chat/completions", data=body("x"), headers={"Authorization": "Bearer a/b"})
        with urlopen(request, timeout=10) as response:
            assert b"Bearer%20a%2Fb" in response.read()
        assert server.stats()["keys"] == {"authorization: Bearer a/b": 1}
