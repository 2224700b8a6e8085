"""What a webhook sets off: the recurring documents that name its endpoint are submitted, with what the request brings.

The web endpoint itself is not here. Who asks shows the token of LLM_JOBS_TRIGGER_TOKEN. A request that is repeated
with its idempotency key submits nothing again; two at once make two submissions of the same job, and no call twice.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import Denied, DocumentError, NotFound, Problem, SetupError
from llm_jobs.operations.accept import Accepted, parsed_documents, read_document, record_all
from llm_jobs.operations.budgets import check_caps
from llm_jobs.operations.deferred import all_deferred
from llm_jobs.operations.deferring import prepare, put_off
from llm_jobs.operations.holding import hold_if_dear
from llm_jobs.operations.services import Services
from llm_jobs.operations.webhook_body import read_body

ORIGIN = "webhook"
TOKEN_VARIABLE = "LLM_JOBS_TRIGGER_TOKEN"
MOST_KEY_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Fired:
    """What a request came to. `deferred`: names of documents that become jobs later; `is_repeat`: it was fired before,
    with the same idempotency key, and that is what came of it then."""

    accepted: Sequence[Accepted] = ()
    deferred: Sequence[str] = ()
    is_repeat: bool = False


def fire(
    services: Services, endpoint: str, body: bytes, *, token: str | None, idempotency_key: str | None = None
) -> Fired:
    """Submit the documents whose trigger names `endpoint`.

    `body` is empty, a list of rows (JSON objects), which become the table, or an object of `rows` and `parameters`.
    Raises Denied for a wrong token, NotFound for an endpoint that no document names, DocumentError for a wrong body, or
    for a key that came with another body, and SetupError where no token is set; then nothing was submitted.
    """
    _check_token(services, token)
    documents = list(_documents(services, endpoint))
    facts = _facts(endpoint, body, idempotency_key)
    if idempotency_key is not None and (repeated := _repeated(services, documents, facts)) is not None:
        return repeated
    overrides = read_body(services, body)
    details: dict[str, JsonValue] = {"webhook": facts}
    prepared = [
        (path, prepare(services, path, origin=ORIGIN, overrides=overrides, details=details)) for path in documents
    ]
    read = [(path, read_document(services, path, overrides)) for path, put in prepared if not put]
    for path, document in read:
        for job in document.jobs:
            check_caps(services, job)
        hold_if_dear(services, document, path)
    recorded = record_all(services, [document for _, document in read], origin=ORIGIN, details=details)
    accepted = [one for each in recorded for one in each]
    deferred = [each.name for _, put in prepared for each in put_off(services, put)]
    return Fired(accepted=accepted, deferred=deferred)


def _check_token(services: Services, token: str | None) -> None:
    expected = services.environment.get(TOKEN_VARIABLE)
    if not expected:
        raise SetupError(f"webhooks need a token: set {TOKEN_VARIABLE}, and give the same to those who may fire them")
    if token is None or not hmac.compare_digest(token.encode(), expected.encode()):
        raise Denied(f"the token is not the one of {TOKEN_VARIABLE}")


def _documents(services: Services, endpoint: str) -> Iterator[Path]:
    """The recurring documents that name the endpoint. One that cannot be read names none; `validate` tells why."""
    known: set[str] = set()
    folder = services.settings.recurring
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix not in (".yaml", ".yml", ".json") or b"webhook" not in (text := path.read_bytes()):
            continue
        try:
            (document, *_) = parsed_documents(services, path, text)
        except (DocumentError, NotFound):
            continue
        own = {trigger.at for trigger in document.policy.launch.triggers if trigger.type == "webhook"}
        known |= own
        if endpoint in own:
            yield path
    if endpoint not in known:
        hint = did_you_mean(endpoint, known, otherwise=f"known are: {', '.join(sorted(known)) or 'none'}")
        raise NotFound(f"no document in {folder} has a webhook trigger with the endpoint {endpoint!r}; {hint}")


def _facts(endpoint: str, body: bytes, key: str | None) -> dict[str, JsonValue]:
    if key is not None and not 0 < len(key) <= MOST_KEY_CHARACTERS:
        raise _wrong_key(f"the idempotency key has {len(key)} characters", f"it has 1 to {MOST_KEY_CHARACTERS}")
    return {"endpoint": endpoint, "key": key, "sha256": sha256(body).hexdigest()}


def _wrong_key(what: str, rule: str) -> DocumentError:
    return DocumentError([Problem(what=what, rule=rule, remedy="send another key, such as a UUID")])


def _repeated(services: Services, documents: Sequence[Path], facts: Mapping[str, JsonValue]) -> Fired | None:
    """What came of the request when it was made before."""
    names = {path.name for path in documents}
    ledger = services.ledger
    submitted = [each for name in names for each in ledger.submissions(document_name=name, bodies=False)]
    own = [each for each in submitted if _is_same_key(each.details, facts)]
    waiting = [
        each for each in all_deferred(ledger) if each.document_name in names and _is_same_key(each.details, facts)
    ]
    if not own and not waiting:
        return None
    told_before = [each.details for each in own] + [each.details for each in waiting]
    if any(told["webhook"]["sha256"] != facts["sha256"] for told in told_before):
        what = f"the idempotency key {facts['key']!r} came with another body before"
        raise _wrong_key(what, "a key is for one request and its repetitions")
    return Fired(
        accepted=[_accepted(services, each.job_hash, each.id or 0, each.document_name) for each in own],
        deferred=[each.name for each in waiting if each.state == "waiting"],
        is_repeat=True,
    )


def _is_same_key(details: Mapping[str, object], facts: Mapping[str, JsonValue]) -> bool:
    told = details.get("webhook")
    return isinstance(told, dict) and (told["key"], told["endpoint"]) == (facts["key"], facts["endpoint"])


def _accepted(services: Services, job_hash: str, submission_id: int, document_name: str) -> Accepted:
    job = job_from_json(services.ledger.submissions(job_hash=job_hash)[0].job)
    return Accepted(job=job, submission_id=submission_id, document_name=document_name)
