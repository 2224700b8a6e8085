"""The text of a lock: which version each range of a document stood for, and the digest of what that version says.

It lies beside its document as `DOCUMENT.lock`. What a lock does is `operations.locking`'; this is its form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import Source
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.documents.yaml_writing import write_yaml

SUFFIX = ".lock"
LATEST = "latest"

_Text = Field(min_length=1)


class PinModel(Model):
    """A prompt or a stack. `asked`: the version or range that the document writes; `latest` where it writes none."""

    name: str = _Text
    asked: str = _Text
    version: str = _Text
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class PinnedModelModel(Model):
    name: str = _Text
    provider: str = _Text
    upstream: str = _Text


class LockModel(Model):
    lock: Literal[1]
    prompts: list[PinModel] = Field(default_factory=list)
    stacks: list[PinModel] = Field(default_factory=list)
    models: list[PinnedModelModel] = Field(default_factory=list)


@dataclass(frozen=True, order=True, slots=True)
class Pin:
    """What a name and a range stood for."""

    name: str
    asked: str
    version: str
    digest: str


@dataclass(frozen=True, order=True, slots=True)
class PinnedModel:
    """What the catalogue meant by a model's name."""

    name: str
    provider: str
    upstream: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """All that a document's ranges and names stood for."""

    prompts: frozenset[Pin] = frozenset()
    stacks: frozenset[Pin] = frozenset()
    models: frozenset[PinnedModel] = frozenset()


def read_lock(source: Source) -> Lock:
    """The lock in a file. Raises DocumentError."""
    model, problems = validate(LockModel, source, source.value)
    raise_if_any(problems)
    assert model is not None
    return Lock(
        prompts=_pins(model.prompts),
        stacks=_pins(model.stacks),
        models=frozenset(PinnedModel(each.name, each.provider, each.upstream) for each in model.models),
    )


def write_lock(lock: Lock) -> str:
    """The file of a lock, the same for the same lock."""
    return write_yaml(
        {
            "lock": 1,
            "prompts": [_members(pin, ("name", "asked", "version", "digest")) for pin in sorted(lock.prompts)],
            "stacks": [_members(pin, ("name", "asked", "version", "digest")) for pin in sorted(lock.stacks)],
            "models": [_members(model, ("name", "provider", "upstream")) for model in sorted(lock.models)],
        }
    )


def lock_differences(old: Lock, new: Lock) -> list[str]:
    """What the new lock says otherwise, a line each; nothing where the two are one."""
    return [
        *_differing("prompt", _by_range(old.prompts), _by_range(new.prompts)),
        *_differing("stack", _by_range(old.stacks), _by_range(new.stacks)),
        *_differing("model", _by_name(old.models), _by_name(new.models)),
    ]


def _pins(models: Iterable[PinModel]) -> frozenset[Pin]:
    return frozenset(Pin(each.name, each.asked, each.version, each.digest) for each in models)


def _members(value: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _by_range(pins: Iterable[Pin]) -> dict[str, tuple[str, str]]:
    return {f"{pin.name} {pin.asked}": (pin.version, pin.digest) for pin in pins}


def _by_name(models: Iterable[PinnedModel]) -> dict[str, tuple[str, str]]:
    return {model.name: (f"{model.provider}/{model.upstream}", "") for model in models}


def _differing(what: str, old: Mapping[str, tuple[str, str]], new: Mapping[str, tuple[str, str]]) -> Iterable[str]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if before is None or after is None:
            yield f"{what} {name}: " + (f"now {after[0]}" if after else f"no longer asked, was {(before or ('',))[0]}")
        elif before[0] != after[0]:
            yield f"{what} {name}: {before[0]} → {after[0]}"
        else:
            yield f"{what} {name}: {after[0]} says something else than when it was locked"
