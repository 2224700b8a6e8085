"""A job answered and its result written, whatever the job is made of."""

from __future__ import annotations

from llm_jobs.documents.job import Job
from llm_jobs.engine.session import Session
from llm_jobs.events import Listener
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.production import Production
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.services import Services
from llm_jobs.operations.staged import StagedProduction
from llm_jobs.operations.watching import Watch


async def produce(
    services: Services,
    session: Session,
    watch: Watch,
    submission: Submission,
    job: Job,
    listener: Listener,
) -> JobReport:
    """Answer the job and write its result. Raises LlmJobsError where there can be none."""
    kind = StagedProduction if job.graph else Production
    return await kind(services, session, submission, job, listener).run(watch)


async def ask_ahead(
    services: Services,
    session: Session,
    watch: Watch,
    submission: Submission,
    job: Job,
    listener: Listener,
    *,
    steps: int,
) -> None:
    """Have the first `steps` steps of every row answered, and write nothing: the ledger has the answers."""
    await Production(services, session, submission, job, listener).ask(watch, steps)
