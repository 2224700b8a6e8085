"""What a partition says to a document: its key, and where it is a window of time, its ends. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

UNKNOWN_KEY = "1970-01-01"  # stands for keys that are added later


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """One partition. Times are ISO 8601 with their offset, the end excluded; None where the key is no time."""

    key: str
    start: str | None = None
    end: str | None = None

    def filled(self, value: Any) -> Any:
        """`value` with `{partition_key}`, `{partition_start}` and `{partition_end}` filled in its texts."""
        if isinstance(value, str):
            text = value.replace("{partition_key}", self.key)
            text = text if self.start is None else text.replace("{partition_start}", self.start)
            return text if self.end is None else text.replace("{partition_end}", self.end)
        if isinstance(value, Mapping):
            return {name: self.filled(each) for name, each in value.items()}
        return [self.filled(each) for each in value] if isinstance(value, list) else value


def slice_of(partitions: dg.PartitionsDefinition[Any], key: str) -> Slice:
    """The slice of one key."""
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return Slice(key=key)
    window = partitions.time_window_for_partition_key(key)
    return Slice(key=key, start=window.start.isoformat(), end=window.end.isoformat())


def first_slice(partitions: dg.PartitionsDefinition[Any]) -> Slice:
    """A slice to read a document with while no partition is asked for."""
    if isinstance(partitions, dg.StaticPartitionsDefinition):
        return Slice(key=next(iter(partitions.get_partition_keys()), UNKNOWN_KEY))
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return slice_of(partitions, partitions.start.strftime(partitions.fmt))
    return Slice(key=UNKNOWN_KEY)
