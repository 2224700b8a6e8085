"""Hands one result over to one destination: opens what the destination needs, and calls the room that writes there.

What writes is imported when it is needed: the clients of databases and object stores take longer to import than most
commands take to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from llm_jobs.deliveries.subject import Delivered, Subject
from llm_jobs.documents.destinations import ApiOutput, DatabaseOutput, FileOutput, Output, delivery_key
from llm_jobs.errors import DeliveryError
from llm_jobs.ledger.base import Receipt
from llm_jobs.operations.destinations import connection_of, credentials_of, roots_of
from llm_jobs.operations.services import Services

if TYPE_CHECKING:
    from llm_jobs.deliveries.values import Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Handover:
    """One result on its way. `receipts`: those of this result; `again`: whether they are believed."""

    services: Services
    subject: Subject
    result_path: str
    receipts: Sequence[Receipt]
    again: bool
    sleep: Callable[[float], object]

    def to(self, output: Output) -> Delivered:
        """Write the result there, or as much of it as is not there yet. Raises LlmJobsError."""
        with self.services.store.open(self.result_path) as result:
            if isinstance(output, FileOutput):
                return self._to_file(result, output)
            if isinstance(output, DatabaseOutput):
                return self._to_database(result, output)
            return self._to_api(result, output)

    def _to_file(self, result: BinaryIO, output: FileOutput) -> Delivered:
        settings = self.services.settings
        if "://" in output.path:
            from llm_jobs.deliveries import objects

            return objects.deliver(result, output, self.subject)
        from llm_jobs.deliveries import files

        try:
            return files.deliver(result, output, self.subject, base=settings.home.parent, roots=roots_of(settings))
        except OSError as error:
            raise DeliveryError(f"{output.path} cannot be written: {error.strerror or error}") from error

    def _to_database(self, result: BinaryIO, output: DatabaseOutput) -> Delivered:
        from llm_jobs.deliveries import databases

        return databases.deliver(result, output, self.subject, url=connection_of(self.services, output))

    def _to_api(self, result: BinaryIO, output: ApiOutput) -> Delivered:
        from llm_jobs.deliveries import apis, http

        headers, secrets = credentials_of(self.services, output)
        mine = [receipt for receipt in self.receipts if receipt.details.get("output") == delivery_key(output)]
        with http.Channel() as channel:
            means = apis.Means(
                send=channel,
                sleep=self.sleep,
                random=self.services.random,
                shows_answers=self.services.settings.preview,
            )
            return apis.deliver(
                result,
                output,
                self.subject,
                credentials=apis.Credentials(headers=headers, secrets=secrets),
                means=means,
                batch_rows=self._batch_rows(output, mine),
                accepted=frozenset() if self.again else _numbers(mine),
                took=lambda batch: self._took(output, batch),
            )

    def _batch_rows(self, output: ApiOutput, mine: Sequence[Receipt]) -> int:
        """How many rows a batch of this result has: as many as at the first attempt, whatever the document says now."""
        for receipt in mine:
            if isinstance(stated := receipt.details.get("batch_rows"), int):
                return stated
        self._receipt(output, {"batch_rows": output.batch_size})
        return output.batch_size

    def _took(self, output: ApiOutput, batch: Batch) -> None:
        self._receipt(output, {"batch": batch.number, "first_row": batch.first_row}, rows=batch.table.num_rows)

    def _receipt(self, output: ApiOutput, details: dict[str, object], *, rows: int | None = None) -> None:
        self.services.ledger.record_receipt(
            Receipt(
                job_hash=self.subject.job_hash,
                result_path=self.result_path,
                destination=output.place,
                rows=rows,
                details={"output": delivery_key(output), **details},
            )
        )


def _numbers(receipts: Sequence[Receipt]) -> frozenset[int]:
    """The batches that an endpoint has accepted."""
    return frozenset(number for receipt in receipts if isinstance(number := receipt.details.get("batch"), int))
