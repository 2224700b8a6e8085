"""Tells what became of the documents of the inbox, in the log of the tick or of the run that took them in."""

from __future__ import annotations

from logging import Logger

from llm_jobs.operations.records import IntakeReport


def tell_intake(log: Logger, report: IntakeReport) -> None:
    """What needs a person as errors and warnings, what only waits as a remark."""
    for rejected in report.rejected:
        log.error(f"{rejected.document_name} was rejected, see {rejected.moved_to}:\n{rejected.error}")
    for held in (document for document in report.accepted if document.held):
        log.warning(f"{held.job_name} ({held.job_hash}) is held: {held.held}")
    for postponed in report.postponed:
        log.warning(f"{postponed.document_name} stays in the inbox for now: {postponed.reason}")
    for deferred in report.deferred:
        log.info(f"{deferred.name} waits for {', '.join(deferred.needs) or 'its turn'}")
