"""The resources that a run or a sensor opens in its own process, and closes at its end.

No annotations from the future here: Dagster reads them.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from llm_jobs.operations.services import Services, open_services
from llm_jobs.operations.telemetry import telemetry_of
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.io_manager import IO_MANAGER_KEY, ResultsIOManager
from llm_jobs.orchestration.pools import Pools
from llm_jobs.settings import Settings


def in_each_process(
    settings: Settings, *, environment: Mapping[str, str], working_directory: Path
) -> dict[str, object]:
    """Resources that each run and each tick opens for itself. Users' assets may take them too."""

    @dg.resource(description="The ledger, the result store, the model catalogue, the prompt library and the settings.")
    @contextmanager
    def services(context: dg.InitResourceContext) -> Iterator[Services]:
        with open_services(settings, environment=environment, working_directory=working_directory) as opened:
            yield opened

    @dg.resource(description="Who is told while a run goes on: metrics, spans, logs, as the environment says.")
    @contextmanager
    def audience(context: dg.InitResourceContext) -> Iterator[Audience]:
        with telemetry_of(environment) as listener:
            yield Audience(listener=listener)

    return {
        "services": services,
        "use_cases": _part_of_services("The project's operations.", lambda opened: BoundUseCases(services=opened)),
        "ledger": _part_of_services("Attempts and answers, append-only.", lambda opened: opened.ledger),
        "store": _part_of_services("The immutable Parquet results.", lambda opened: opened.store),
        "providers": _part_of_services("Opens a provider by its kind.", lambda opened: opened.open_provider),
        "settings": dg.ResourceDefinition.hardcoded_resource(settings, "Where things are and how large they may be."),
        "pools": Pools(sleep=time.sleep),
        "audience": audience,
        IO_MANAGER_KEY: _results_io_manager,
    }


def _part_of_services(description: str, part: Callable[[Services], object]) -> dg.ResourceDefinition:
    return dg.ResourceDefinition(
        resource_fn=lambda context: part(context.resources.services),
        required_resource_keys={"services"},
        description=description,
    )


@dg.io_manager(required_resource_keys={"use_cases"}, description="Gives `results` to assets that take them.")
def _results_io_manager(context: dg.InitResourceContext) -> ResultsIOManager:
    return ResultsIOManager(context.resources.use_cases)
