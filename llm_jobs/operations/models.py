"""Set what a model allows, weighs and costs while work goes on, and tell what was set before.

Every change is a row of the ledger: who, when, what, why. It is in force in every process within a second, for the
next call, with no restart (`live_catalogue`).
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from llm_jobs.errors import DocumentError, NotFound
from llm_jobs.ledger.base import ModelVersion
from llm_jobs.operations.services import Services
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.entries import CatalogueEntry
from llm_jobs.providers.known_models import unknown_to_its_vendor
from llm_jobs.providers.set_values import problems


def set_model(
    services: Services, name: str, definition: Mapping[str, object], *, who: str | None = None, why: str | None = None
) -> CatalogueEntry:
    """Record what `definition` sets of the model `name` and return its entry, in force here at once.

    `definition`: members of `set_values.MEMBERS`; None for no limit, `set_values.AS_STATED` for what models.yaml says.
    `who` None: the user of this process. Raises NotFound for a name that is nobody's, DocumentError for wrong values.
    """
    services.live.look()
    stated = _settable(services.live.stated, name, known=bool(services.live.versions(name)))
    if found := problems(stated, services.live.set_values(name), definition):
        raise DocumentError(found)
    version = ModelVersion(name=name, definition=dict(definition), who=who or getpass.getuser(), why=why)
    services.ledger.record_model_version(version)
    services.live.look()
    return services.catalogue.resolve(name)


def model_history(services: Services, name: str) -> Sequence[ModelVersion]:
    """What was set of a model, oldest first; empty where nothing ever was. Raises NotFound for a name of nobody."""
    services.live.look()
    versions = services.live.versions(name)
    if not versions:
        services.catalogue.resolve(name)
    return versions


def set_at(version: ModelVersion) -> str:
    """When a version was recorded, in UTC."""
    recorded = datetime.fromtimestamp((version.recorded_ns or 0) / 1e9, UTC)
    return recorded.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _settable(catalogue: Catalogue, name: str, *, known: bool) -> CatalogueEntry:
    """The entry to change. A vendor's own model that nobody has named must be one that the vendor is known to have."""
    entry = catalogue.resolve(name)
    if known or name in catalogue.names():
        return entry
    near = unknown_to_its_vendor(entry.model)
    if near is None:
        return entry
    hint = f"did you mean {entry.model.provider + '/' + near!r}? " if near else ""
    raise NotFound(
        f"the provider {entry.model.provider} is not known to have a model {entry.model.upstream!r}; {hint}"
        f"a model that is newer than this program is set after it has an entry in models.yaml"
    )
