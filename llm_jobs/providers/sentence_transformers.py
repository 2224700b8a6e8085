"""Embeddings by a model in this process (sentence-transformers), for those who send no text elsewhere.

A model is a folder in `models/` of the home folder, else a name on the Hugging Face hub. It is loaded when it is first
asked, and works in one thread: a model uses all cores by itself. Texts that travel together (`execution: group`) are
encoded together. Answers are in OpenAI's form; they cost nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import CallTimeout, DocumentError, PermanentError, Problem, SetupError
from llm_jobs.importing import imported
from llm_jobs.providers.base import Answered, Reply, Request
from llm_jobs.providers.openai_format import PATHS, openai_body, read_openai

# Parameters of requests, and what `encode` calls them.
PARAMETERS: Mapping[str, str] = {
    "dimensions": "truncate_dim",
    "normalize": "normalize_embeddings",
    "prompt": "prompt",
    "prompt_name": "prompt_name",
}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_READ_BYTES = 1024 * 1024


class SentenceTransformersProvider:
    """Opens no model before the first request."""

    kind: str = "sentence-transformers"

    def __init__(self, *, model_folder: Path | None = None) -> None:
        """Raises SetupError where the library is not installed."""
        if find_spec("sentence_transformers") is None:
            raise SetupError("models in this process need sentence-transformers: pip install 'llm-jobs[local]'")
        self._folder = model_folder
        self._models: dict[str, Any] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sentence-transformers")

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        if operation != "embeddings":
            what = f"the provider {self.kind} does not offer {operation}"
            raise DocumentError(
                [Problem(what=what, rule="it gives embeddings", remedy="write `operation: embeddings`")]
            )
        return Endpoint(provider=self.kind, base_url="", path=PATHS["embeddings"], digest=model.digest)

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        return openai_body(model.upstream, operation, messages, parameters, None)

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                vectors = await loop.run_in_executor(self._thread, partial(self._encoded, request))
        except TimeoutError:
            raise CallTimeout(f"the model gave no vector within {timeout_s:g} s") from None
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
        answer = {"object": "list", "model": request.model.upstream, "data": data}
        return Answered(raw=orjson.dumps(answer), headers={})

    def read(self, request: Request, raw: bytes) -> Reply:
        return read_openai(request.endpoint.path, raw)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def digest(self, model: ModelRef) -> str | None:
        """Of the model's folder, names and bytes; None for a name on the hub."""
        folder = self._local(model.upstream)
        if folder is None:
            return None
        whole = hashlib.sha256()
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            whole.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(_READ_BYTES):
                    whole.update(chunk)
        return whole.hexdigest()

    def _encoded(self, request: Request) -> list[list[float]]:
        body = dict(request.body)
        texts = body.pop("input")
        body.pop("model", None)
        if unknown := sorted(body.keys() - PARAMETERS.keys()):
            raise PermanentError(f"{self.kind} knows no parameter {unknown[0]}; it knows {', '.join(PARAMETERS)}")
        options = {PARAMETERS[name]: value for name, value in body.items()}
        model = self._model(request.model.upstream)
        try:
            vectors = model.encode([texts] if isinstance(texts, str) else texts, show_progress_bar=False, **options)
        except (ValueError, TypeError, RuntimeError) as error:
            raise PermanentError(f"the model cannot encode this: {error}") from None
        return [[float(number) for number in vector] for vector in vectors]

    def _model(self, upstream: str) -> Any:
        if upstream not in self._models:
            # Seconds, for torch: only for those who ask such a model.
            library = imported("sentence_transformers")
            folder = self._local(upstream)
            if folder is None and not _HUB_NAME.fullmatch(upstream):
                raise PermanentError(f"{upstream!r} is neither a folder in {self._folder} nor a name on the hub")
            try:
                self._models[upstream] = library.SentenceTransformer(str(folder or upstream), trust_remote_code=False)
            except (OSError, ValueError) as error:
                raise PermanentError(f"the model {upstream} cannot be loaded: {error}") from None
        return self._models[upstream]

    def _local(self, upstream: str) -> Path | None:
        if self._folder is None:
            return None
        folder = (self._folder / upstream).resolve()
        return folder if folder.is_dir() and folder.is_relative_to(self._folder.resolve()) else None
