"""The errors of the project. The class of an error is the decision; the message is for a person.

LlmJobsError
├── DocumentError           what the user wrote is wrong; lists every Problem found       exit 2
│   └── InputChanged        an input file differs from the one that was submitted
├── NotFound                no job, model, prompt or result of that name or hash          exit 2
├── Denied                  who asks may not: a webhook without its token
├── SetupError              no key, no server, a database that cannot be used             exit 3
├── ImmutableError          something of record would be overwritten or deleted
├── IntegrityError          a digest does not match what was recorded
├── DeliveryError           a destination did not take a result; it may when asked again
│   └── DeliveryRefused     it will not, as things stand
├── RowError                one row cannot be asked; its neighbours go on
│   └── RenderError         a template does not fit the row: a missing or empty column, too long a text
├── MessageNotSent          a message to people did not leave; it may when it is sent again
│   └── MessageRefused      the same message would be refused again
└── CallError               one call to a model failed
    ├── PermanentError      the same request would fail again: never retried
    └── TransientError      may succeed when repeated: retried with backoff
        ├── RateLimited     the server says when (`wait_s`)
        └── CallTimeout     no answer within the time allowed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


class LlmJobsError(Exception):
    """Base of every error that this project raises on purpose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong with a document: what, where, the value seen, the rule, the remedy. Lines and columns count from
    1; a column is told where the text itself is broken."""

    what: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    key: str | None = None
    value: str | None = None
    rule: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = f"{where}: {self.what}" if where else self.what
        if self.key is not None:
            text += f" (key {self.key}" + (f", value {self.value}" if self.value is not None else "") + ")"
        elif self.value is not None:
            text += f" (value {self.value})"
        if self.rule is not None:
            text += f"; {self.rule}"
        if self.remedy is not None:
            text += f"; {self.remedy}"
        return text


class DocumentError(LlmJobsError):
    """A document was refused before anything was spent. Carries every problem that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InputChanged(DocumentError):
    """The bytes of an input differ from those that were digested when the job was submitted."""


class NotFound(LlmJobsError):
    """Nothing of that name or hash exists; the message lists the nearest that do. What a document may name says apart
    what is wrong, the `name`, the `rule` and the `remedy`, so that a Problem can be made of it."""

    def __init__(
        self, what: str, *, name: str | None = None, rule: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__("; ".join(part for part in (what, rule, remedy) if part))
        self.what = what
        self.name = name
        self.rule = rule
        self.remedy = remedy


class Denied(LlmJobsError):
    """Who asks has not shown that they may. The message does not repeat what they showed."""


class SetupError(LlmJobsError):
    """The environment lacks something: a key, a server, a database that may be used."""


class ImmutableError(LlmJobsError):
    """Something of record exists already and would be overwritten, changed or deleted."""


class IntegrityError(LlmJobsError):
    """Stored bytes do not have the digest that was recorded for them."""


class DeliveryError(LlmJobsError):
    """A destination did not take a result, or not all of it. Repeating it may succeed, and repeats nothing."""


class DeliveryRefused(DeliveryError):
    """A destination will not take a result until somebody changes the document, the destination or the rights."""


class RowError(LlmJobsError):
    """One row cannot be asked. It becomes a failed row; its neighbours are not concerned."""


class RenderError(RowError):
    """A prompt's template cannot be filled from one row."""


class MessageNotSent(LlmJobsError):
    """A message to people did not leave; it may when it is sent again."""


class MessageRefused(MessageNotSent):
    """The same message would be refused again."""


class CallError(LlmJobsError):
    """One attempt at a call failed. `http_status` is None where no status was received; `was_sent` is False where it is
    certain that the model's server got nothing, so that nothing was paid."""

    def __init__(self, message: str, *, http_status: int | None = None, was_sent: bool = True) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.was_sent = was_sent


class PermanentError(CallError):
    """The same request would fail again (400, 401, 404, a script that exits non-zero, ...)."""


class TransientError(CallError):
    """The request may succeed when repeated (5xx, a torn body, a closed connection, ...)."""


class RateLimited(TransientError):
    """The server refused for now (429, 503 or 529 with Retry-After). `wait_s` is None if unsaid; `counts` are the
    headers that tell its counts, names in lower case."""

    def __init__(
        self,
        message: str,
        *,
        wait_s: float | None,
        http_status: int | None = 429,
        counts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message, http_status=http_status)
        self.wait_s = wait_s
        self.counts = counts


class CallTimeout(TransientError):
    """No complete answer arrived within the time allowed for one attempt."""
