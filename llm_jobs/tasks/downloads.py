"""A model fetched by the server that is to answer, so that the first call need not wait for it."""

from __future__ import annotations

from llm_jobs.tasks.base import OWN, Surroundings, Task, Values


class DownloadModel(Task):
    """Ollama's pull. What is there already is not fetched again: the server compares digests."""

    name = "download_model"
    aliases = ("pull_model",)
    category = "model"
    description = "Has Ollama download a model; gives its name on."
    inputs = {"model": {"type": "string", "minLength": 1}}
    outputs = {OWN: {"type": "string"}}
    example = {"model": "ollama/all-minilm"}
    side_effects = True
    slow = True

    async def answer(self, inputs: Values, surroundings: Surroundings) -> Values:
        model = str(inputs["model"])
        if not surroundings.rehearsal:
            assert surroundings.pull is not None, "models are downloaded only while a job runs"
            await surroundings.pull(model)
        return {OWN: model}
