"""The base of what a user may write: sections that are frozen, strict, and closed to unknown keys.

In a file of its own, so that the sections may be in files of their own too: `models` joins them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, strict, and closed: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)
