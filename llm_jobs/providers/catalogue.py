"""The model catalogue: from the name that a document writes to everything that is known about the model.

Built in: `simulated`, and every `provider/upstream-name`. `models.yaml` adds names, or restates built-in ones. Only
the catalogue (and what the operator sets in the environment) decides which origins get which key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Operation
from llm_jobs.documents.validation import nearest
from llm_jobs.errors import NotFound, Problem, SetupError
from llm_jobs.providers.entries import FREE, CatalogueEntry, Price, built_in_entry
from llm_jobs.providers.models_file import read_models
from llm_jobs.providers.parameters import parameter_problems
from llm_jobs.providers.secrets import Access
from llm_jobs.providers.set_values import in_force
from llm_jobs.providers.vendors import COSTS_NOTHING, VENDORS, checked_url, origin_of, origins_of

_LIKELY_VENDORS = (("claude", "anthropic"), ("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"))


class InForce(Protocol):
    """Whatever knows the catalogue of the moment: a catalogue that stands still, or a live one."""

    def in_force(self) -> Catalogue: ...


class Catalogue:
    """Models by name. Immutable; reads `environment` for addresses when asked, and never for keys."""

    def __init__(self, entries: Iterable[CatalogueEntry] = (), *, environment: Mapping[str, str]) -> None:
        """`entries` are those of `models.yaml`; they stand above the built-in ones of the same name."""
        self._environment = environment
        self._entries = {"simulated": self._built_in("simulated", "simulated", "simulated")}
        self._entries.update((entry.model.name, entry) for entry in entries)

    def in_force(self) -> Catalogue:
        """This one: it does not change. A live catalogue answers with the one of the moment."""
        return self

    def with_set_values(self, definitions: Mapping[str, Mapping[str, Any]]) -> Catalogue:
        """The catalogue with what was set of some models, by name. Names that mean nothing any more are left out."""
        changed = dict(self._entries)
        for name, definition in definitions.items():
            try:
                changed[name] = in_force(self._named(name, None), definition)
            except NotFound:
                continue
        return Catalogue(changed.values(), environment=self._environment)

    def names(self) -> list[str]:
        """The names that may be written without a provider, and those of `models.yaml`."""
        return sorted(self._entries)

    def entries(self) -> list[CatalogueEntry]:
        """The named models, by name."""
        return [self._entries[name] for name in self.names()]

    def resolve(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        bare_provider: str | None = None,
        key: str | None = None,
    ) -> CatalogueEntry:
        """The model that `name` means: a catalogue name or `provider/upstream-name`.

        `bare_provider`: whose model an unknown bare name is (a batch file's are OpenAI's). `endpoint`: a base URL of
        the document's own, which gets a key only where the catalogue lists its origin. `key`: the NAME of the
        variable that the document names for the key. Raises NotFound, or DocumentError for an endpoint that is none.
        """
        entry = self._named(name, bare_provider)
        model = entry.model
        if endpoint is not None:
            model = replace(model, base_url=checked_url(endpoint, named="endpoint"), identity_url=None, digest=None)
        if key is not None and key != entry.key_name:
            model = replace(model, key=key)
            entry = replace(entry, key_name=key, allowed_origins=self.origins_for(key))
        return entry if model is entry.model else replace(entry, model=model)

    def access(self, model: ModelRef) -> Access:
        """Which key a frozen model uses and who may have it, as the catalogue stands now."""
        entry = self._entries.get(model.name)
        if entry is None or entry.model.provider != model.provider:
            entry = self._built_in(model.name, model.provider, model.upstream)
        if model.key is not None and model.key != entry.key_name:
            return Access(key_name=model.key, origins=self.origins_for(model.key))
        return Access(key_name=entry.key_name, origins=entry.allowed_origins)

    def origins_for(self, key_name: str) -> frozenset[str]:
        """Every origin that may have the key in the variable `key_name`."""
        vendors = [origins_of(v, self._environment) for v in VENDORS.values() if v.key_variable == key_name]
        stated = [entry.allowed_origins for entry in self._entries.values() if entry.key_name == key_name]
        return frozenset().union(*vendors, *stated)

    def key_names(self) -> frozenset[str]:
        """All variables that hold a key of some model."""
        names = {vendor.key_variable for vendor in VENDORS.values()} | {e.key_name for e in self._entries.values()}
        return frozenset(name for name in names if name)

    def stated_price(self, model: ModelRef) -> Price | None:
        """The price that the catalogue states for a frozen model, the simulated one's included."""
        entry = self._entries.get(model.name)
        if entry is not None and entry.price is not None:
            return entry.price
        return FREE if model.provider in COSTS_NOTHING else None

    def check_parameters(
        self, entry: CatalogueEntry, operation: Operation, parameters: Mapping[str, JsonValue]
    ) -> list[Problem]:
        """What the model would refuse among `parameters` (for a batch file: a whole body)."""
        return parameter_problems(
            provider=entry.model.provider,
            upstream=entry.model.upstream,
            operation=operation,
            parameters=parameters,
            refuses=entry.refuses,
        )

    def check_key(self, entry: CatalogueEntry) -> None:
        """Raise SetupError where the model lies with its vendor and the vendor's key is not set."""
        vendor = VENDORS[entry.model.provider]
        if not vendor.key_variable or origin_of(entry.model.base_url) not in vendor.origins:
            return
        if entry.key_name and not self._environment.get(entry.key_name):
            raise SetupError(
                f"no key for the model {entry.model.name}: the environment variable {entry.key_name} is not set; "
                f"set it, or try the document first with --model simulated"
            )

    def _named(self, name: str, bare_provider: str | None) -> CatalogueEntry:
        entry = self._entries.get(name)
        if entry is not None:
            return entry
        provider, separator, upstream = name.partition("/")
        if separator and upstream and provider in VENDORS:
            return self._built_in(name, provider, upstream)
        if bare_provider is not None and name:
            return self._built_in(name, bare_provider, name)
        raise self._unknown(name)

    def _built_in(self, name: str, provider: str, upstream: str) -> CatalogueEntry:
        return built_in_entry(name, provider, upstream, self._environment)

    def _unknown(self, name: str) -> NotFound:
        forms = [f"{kind}/NAME" for kind in VENDORS]
        likely = next((vendor for start, vendor in _LIKELY_VENDORS if name.startswith(start)), None)
        near = nearest(name, self._entries)
        if near is None:
            near = f"{likely}/{name}" if likely else (f"openai/{name}" if "/" in name else None)
        return NotFound(
            f"there is no model {name!r}",
            name=name,
            rule=f"known are {', '.join(self.names())} and {', '.join(forms)}",
            remedy=f"did you mean {near!r}?" if near else "write one of these, or add the model to models.yaml",
        )


def load_catalogue(path: Path, *, environment: Mapping[str, str]) -> Catalogue:
    """The built-in catalogue and the entries of the `models.yaml` at `path`, where there is one.

    Raises DocumentError with every problem of the file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Catalogue(environment=environment)
    return Catalogue(read_models(str(path), content, environment=environment), environment=environment)
