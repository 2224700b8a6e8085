"""Answers that are no success, as they were recorded: what follows them need not be asked for again. A request whose
answer was cut off is never sent again: it would be cut off again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from llm_jobs.ledger.base import Answer
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.records import ANSWER_COLUMNS, answer_of

_COLUMNS = ANSWER_COLUMNS.replace("a.", "o.")
# The first condition is that of the partial index, word for word: otherwise SQLite would not use it.
_ENDED = "(o.late OR o.status <> 'succeeded') AND o.status IN ({statuses}) AND o.final"
_JOINED = "JOIN intents i ON i.id = o.intent_id LEFT JOIN payloads p ON p.intent_id = o.intent_id"
_SQLITE = f"""
SELECT {_COLUMNS} FROM json_each(?) w
CROSS JOIN outcomes o ON o.call_hash = w.value AND {_ENDED}
{_JOINED} ORDER BY o.intent_id
"""
_POSTGRESQL = f"""
SELECT {_COLUMNS} FROM outcomes o {_JOINED}
WHERE o.call_hash = ANY(%s) AND {_ENDED} ORDER BY o.intent_id
"""


def select_unsuccessful(
    connection: Connection, call_hashes: Sequence[str], statuses: Sequence[str]
) -> dict[str, Answer]:
    """The newest answer of each call that ended with one of `statuses`. A success may have been recorded since."""
    codec = PayloadCodec()
    listed = ", ".join(f"'{status}'" for status in statuses)
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(_SQLITE.format(statuses=listed), (json.dumps(list(call_hashes)),))
    else:
        rows = connection.exec_driver_sql(_POSTGRESQL.format(statuses=listed), (list(call_hashes),))
    return {row[0]: answer_of(row, codec) for row in rows}
