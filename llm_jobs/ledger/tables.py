"""The ledger's tables as queries see them. The database's own definition is in `migrations.py`; a test compares."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, LargeBinary, MetaData, Table, Text
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def _table(table: str, /, **columns: type[TypeEngine[Any]]) -> Table:
    return Table(table, metadata, *(Column(column, kind) for column, kind in columns.items()))


submissions = _table(
    "submissions",
    id=BigInteger,
    job_hash=Text,
    name=Text,
    document_name=Text,
    version=Text,
    submitter=Text,
    origin=Text,
    labels=Text,
    priority=Text,
    as_of_ns=BigInteger,
    submitted_ns=BigInteger,
    details=Text,
)
documents = _table("documents", submission_id=BigInteger, document=LargeBinary, job=LargeBinary)
intents = _table(
    "intents",
    id=BigInteger,
    call_hash=Text,
    job_hash=Text,
    submission_id=BigInteger,
    owner_id=BigInteger,
    provider=Text,
    model=Text,
    attempt=BigInteger,
    mode=Text,
    priority=Text,
    worst_tokens=BigInteger,
    worst_cost_usd=Float,
    intended_ns=BigInteger,
    details=Text,
)
outcomes = _table(
    "outcomes",
    intent_id=BigInteger,
    call_hash=Text,
    status=Text,
    final=Boolean,
    late=Boolean,
    model_answered=Text,
    finish_reason=Text,
    prompt_tokens=BigInteger,
    completion_tokens=BigInteger,
    cached_tokens=BigInteger,
    reasoning_tokens=BigInteger,
    cost_usd=Float,
    latency_s=Float,
    http_status=BigInteger,
    error_class=Text,
    error=Text,
    recorded_ns=BigInteger,
    details=Text,
)
answers = _table("answers", call_hash=Text, intent_id=BigInteger)
payloads = _table("payloads", intent_id=BigInteger, request=LargeBinary, answer=LargeBinary)
model_versions = _table(
    "model_versions", id=BigInteger, name=Text, definition=Text, who=Text, why=Text, recorded_ns=BigInteger
)
dead_letters = _table(
    "dead_letters",
    id=BigInteger,
    kind=Text,
    reference=Text,
    job_hash=Text,
    call_hash=Text,
    reason=Text,
    body=LargeBinary,
    recorded_ns=BigInteger,
    details=Text,
)
erasures = _table("erasures", id=BigInteger, kind=Text, reference=Text, who=Text, why=Text, recorded_ns=BigInteger)
results = _table(
    "results",
    id=BigInteger,
    job_hash=Text,
    step=Text,
    path=Text,
    epoch_ns=BigInteger,
    sha256=Text,
    size_bytes=BigInteger,
    rows=BigInteger,
    succeeded=BigInteger,
    failed=BigInteger,
    facts=Text,
    recorded_ns=BigInteger,
)
receipts = _table(
    "receipts",
    id=BigInteger,
    job_hash=Text,
    result_path=Text,
    destination=Text,
    sha256=Text,
    rows=BigInteger,
    recorded_ns=BigInteger,
    details=Text,
)
owners = _table(
    "owners",
    id=BigInteger,
    host=Text,
    boot_id=Text,
    pid=BigInteger,
    started=Float,
    run_id=Text,
    opened_ns=BigInteger,
    heartbeat_ns=BigInteger,
    closed_ns=BigInteger,
    kind=Text,  # NULL: a process; 'batch': alive until it is closed
)
claims = _table("claims", call_hash=Text, owner_id=BigInteger, intent_id=BigInteger)
tasks = _table(
    "tasks",
    id=BigInteger,
    kind=Text,
    reference=Text,
    state=Text,
    priority=Text,
    body=LargeBinary,
    owner_id=BigInteger,
    attempts=BigInteger,
    not_before_ns=BigInteger,
    created_ns=BigInteger,
    changed_ns=BigInteger,
    details=Text,
)
job_changes = _table(
    "job_changes",
    id=BigInteger,
    job_hash=Text,
    field=Text,
    value=Text,
    who=Text,
    why=Text,
    recorded_ns=BigInteger,
)
batches = _table(
    "batches",
    id=BigInteger,
    provider=Text,
    model=Text,
    base_url=Text,
    path=Text,
    job_hash=Text,
    submission_id=BigInteger,
    owner_id=BigInteger,
    token=Text,
    calls=BigInteger,
    bytes=BigInteger,
    sha256=Text,
    recorded_ns=BigInteger,
    details=Text,
)
batch_events = _table(
    "batch_events",
    id=BigInteger,
    batch_id=BigInteger,
    kind=Text,
    vendor_id=Text,
    status=Text,
    recorded_ns=BigInteger,
    details=Text,
)
budgets = _table(
    "budgets",
    budget=Text,
    spent_pico_usd=BigInteger,
    spent_tokens=BigInteger,
    reserved_pico_usd=BigInteger,
    reserved_tokens=BigInteger,
)
reservations = _table(
    "reservations",
    intent_id=BigInteger,
    budget=Text,
    owner_id=BigInteger,
    worst_pico_usd=BigInteger,
    worst_tokens=BigInteger,
)
schema_versions = _table("schema_versions", version=BigInteger, name=Text, applied_ns=BigInteger)
