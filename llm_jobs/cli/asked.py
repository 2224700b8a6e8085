"""A job as it was asked for on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from llm_jobs.documents.job import Job


@dataclass(frozen=True, slots=True)
class Asked:
    """A job that a DOCUMENT means, and the document as it was written."""

    job: Job
    document: str

    @property
    def is_simulated(self) -> bool:
        return all(model.provider == "simulated" for model in self.job.models)
