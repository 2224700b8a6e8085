"""Which attempts were sent, and which may have cost something: one rule, for facts and for rows of the database.

The texts are conditions in SQL on a row `o` of `outcomes`; each is true or false, never null.
"""

from __future__ import annotations

from llm_jobs.ledger.base import Facts

# A gateway that gave up on a model says nothing of what the model went on to do.
_GATEWAY_TIMEOUTS = (504, 524)

SENT = "o.status <> 'cancelled'"
_SURELY_FREE = f"""(
    o.status IN ('cancelled', 'rate_limited')
    OR o.status = 'failed' AND coalesce(o.http_status, 0) >= 400 AND o.http_status NOT IN {_GATEWAY_TIMEOUTS}
)"""
UNPRICED = f"o.cost_usd IS NULL AND NOT {_SURELY_FREE}"


def surely_free(facts: Facts) -> bool:
    """Not sent, or refused by the server. A time-out or a broken connection may have been paid."""
    if facts.status in ("cancelled", "rate_limited"):
        return True
    refused = facts.http_status is not None and facts.http_status >= 400
    return facts.status == "failed" and refused and facts.http_status not in _GATEWAY_TIMEOUTS
