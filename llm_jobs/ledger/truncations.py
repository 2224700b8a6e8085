"""Answers that are no success, as they were recorded: what follows them need not be asked for again. A request whose
answer was cut off is never sent again: it would be cut off again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from llm_jobs.ledger.audits import WITHOUT_ANSWER
from llm_jobs.ledger.base import Answer
from llm_jobs.ledger.payloads import own_codec
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import ANSWER_COLUMNS, answer_of

_COLUMNS = ANSWER_COLUMNS.replace("a.", "o.")
_ENDED = f"{WITHOUT_ANSWER} AND o.status IN ({{statuses}}) AND o.final"
_JOINED = "LEFT JOIN payloads p ON p.intent_id = o.intent_id"
_SQLITE = f"""
SELECT {_COLUMNS} FROM json_each(?) w
CROSS JOIN outcomes o ON o.call_hash = w.value AND {_ENDED}
{_JOINED} ORDER BY o.intent_id
"""
_POSTGRESQL = f"""
SELECT {_COLUMNS} FROM outcomes o {_JOINED}
WHERE o.call_hash = ANY(?) AND {_ENDED} ORDER BY o.intent_id
"""


def select_unsuccessful(plain: Plain, call_hashes: Sequence[str], statuses: Sequence[str]) -> dict[str, Answer]:
    """The newest answer of each call that ended with one of `statuses`. A success may have been recorded since."""
    codec = own_codec()
    listed = ", ".join(f"'{status}'" for status in statuses)
    if plain.dialect == "sqlite":
        rows = plain.rows(_SQLITE.format(statuses=listed), (json.dumps(list(call_hashes)),))
    else:
        rows = plain.rows(_POSTGRESQL.format(statuses=listed), (list(call_hashes),))
    return {row[0]: answer_of(row, codec) for row in rows}
