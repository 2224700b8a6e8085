"""The base of what a user may write: sections that are frozen, strict, and closed to unknown keys.

In a file of its own, so that the sections may be in files of their own too: `models` joins them.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, strict, and closed: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    def merged(self, changes: Self | None) -> Self:
        """This section with the keys that `changes` states."""
        if changes is None:
            return self
        return self.model_copy(update={key: getattr(changes, key) for key in changes.model_fields_set})
