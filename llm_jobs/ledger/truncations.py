"""Calls whose answer was cut off, so that the same request is never sent again: it would be cut off again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from llm_jobs.ledger.base import Answer
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.records import ANSWER_COLUMNS, answer_of

_COLUMNS = ANSWER_COLUMNS.replace("a.", "o.")
# The first condition is that of the partial index, word for word: otherwise SQLite would not use it.
_CUT_OFF = "(o.late OR o.status <> 'succeeded') AND o.status = 'truncated' AND o.final"
_JOINED = "JOIN intents i ON i.id = o.intent_id LEFT JOIN payloads p ON p.intent_id = o.intent_id"
_SQLITE = f"""
SELECT {_COLUMNS} FROM json_each(?) w
CROSS JOIN outcomes o ON o.call_hash = w.value AND {_CUT_OFF}
{_JOINED} ORDER BY o.intent_id
"""
_POSTGRESQL = f"""
SELECT {_COLUMNS} FROM outcomes o {_JOINED}
WHERE o.call_hash = ANY(%s) AND {_CUT_OFF} ORDER BY o.intent_id
"""


def select_truncated(connection: Connection, call_hashes: Sequence[str]) -> dict[str, Answer]:
    """The newest answer that was cut off of each call that has one. A whole answer may have been recorded since."""
    codec = PayloadCodec()
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(_SQLITE, (json.dumps(list(call_hashes)),))
    else:
        rows = connection.exec_driver_sql(_POSTGRESQL, (list(call_hashes),))
    return {row[0]: answer_of(row, codec) for row in rows}
