"""Embeddings by a model in this process: a tiny real one, made here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Message
from llm_jobs.errors import CallError, DocumentError, PermanentError
from llm_jobs.operations.records import JobReport
from llm_jobs.providers.base import Request
from llm_jobs.providers.grouping import group_key, merged, split
from llm_jobs.providers.sentence_transformers import SentenceTransformersProvider
from llm_jobs_tests.cli.house import House

WORDS = {word: number for number, word in enumerate(["[UNK]", "river", "bank", "money"])}


def make_model(folder: Path, *, seed: int = 0) -> None:
    """A model of four words with vectors of eight numbers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    torch.manual_seed(seed)
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(folder))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "tiny")
    return folder


def reference(upstream: str = "tiny") -> ModelRef:
    name = f"sentence-transformers/{upstream}"
    return ModelRef(name=name, provider="sentence-transformers", upstream=upstream, base_url="")


def request_of(provider: SentenceTransformersProvider, text: str, upstream: str = "tiny", **parameters: Any) -> Request:
    model = reference(upstream)
    body = provider.body(model, "embeddings", [Message(role="user", content=text)], parameters, None)
    return Request(endpoint=provider.endpoint(model, "embeddings"), model=model, body=body)


def sent(models: Path, *requests: tuple[str, dict[str, Any]], together: bool = False) -> list[Any]:
    async def run() -> list[Any]:
        provider = SentenceTransformersProvider(model_folder=models)
        made = [request_of(provider, text, **parameters) for text, parameters in requests]
        try:
            if not together:
                raws = [(await provider.send(each, call_hash="0" * 32, timeout_s=60)).raw for each in made]
            else:
                assert len({group_key(each) for each in made}) == 1
                raws = split((await provider.send(merged(made), call_hash="0" * 32, timeout_s=60)).raw, made)
            return [provider.read(each, raw).output for each, raw in zip(made, raws, strict=True)]
        finally:
            await provider.aclose()

    return asyncio.run(run())


def test_texts_have_vectors_and_the_same_text_the_same(models: Path) -> None:
    river, bank, again = sent(models, ("river", {}), ("bank", {}), ("river", {}))
    assert len(river) == 8
    assert river == again != bank


def test_texts_that_travel_together_have_the_vectors_that_they_have_alone(models: Path) -> None:
    texts: list[tuple[str, dict[str, Any]]] = [("river bank", {}), ("money", {}), ("river", {})]
    for alone, together in zip(sent(models, *texts), sent(models, *texts, together=True), strict=True):
        assert together == pytest.approx(alone, abs=1e-6)


def test_parameters_are_those_of_the_library(models: Path) -> None:
    [short, unit] = sent(models, ("river", {"dimensions": 3}), ("river", {"normalize": True}))
    assert len(short) == 3
    assert sum(number * number for number in unit) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("upstream", "parameters", "reason"),
    [
        ("tiny", {"temperature": 1}, "no parameter temperature"),
        ("../elsewhere", {}, "neither a folder"),
        ("tiny/../../etc", {}, "neither a folder"),
    ],
)
def test_what_cannot_be_encoded_is_refused(
    models: Path, upstream: str, parameters: dict[str, Any], reason: str
) -> None:
    async def run() -> None:
        provider = SentenceTransformersProvider(model_folder=models)
        try:
            await provider.send(request_of(provider, "a", upstream, **parameters), call_hash="0" * 32, timeout_s=60)
        finally:
            await provider.aclose()

    with pytest.raises(PermanentError, match=reason) as refused:
        asyncio.run(run())
    assert isinstance(refused.value, CallError)


def test_it_chats_with_nobody(models: Path) -> None:
    with pytest.raises(DocumentError, match="does not offer chat"):
        SentenceTransformersProvider(model_folder=models).endpoint(reference(), "chat")


def embedded(house: House) -> tuple[JobReport, list[list[float]]]:
    steps = [{"name": "vector", "task": "text_embedding", "inputs": {"model": "sentence-transformers/tiny"}}]
    rows = [{"text": "river"}, {"text": "bank"}, {"text": "river"}]
    job = {"name": "v", "input": {"rows": rows}, "steps": steps, "execution": {"group": 16}}
    [report] = house.answer(house.write("v.json", {"job": job}))
    assert report.result is not None, report.error
    return report, pq.read_table(report.result).column("vector").to_pylist()


def test_a_job_embeds_each_text_once_and_other_weights_are_another_model(tmp_path: Path) -> None:
    house = House(tmp_path, {})
    make_model(house.home / "models" / "tiny")
    first, vectors = embedded(house)
    assert (first.status, first.calls_sent, first.calls_reused, first.cost_usd) == ("done", 2, 1, 0.0)
    assert vectors[0] == vectors[2] != vectors[1]
    again, _ = embedded(house)
    assert (again.calls_sent, again.job_hash) == (0, first.job_hash)
    make_model(house.home / "models" / "tiny", seed=1)
    other, others = embedded(house)
    assert other.calls_sent == 2
    assert others != vectors
