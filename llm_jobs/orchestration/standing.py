"""The sensors of recurring documents: files that arrive, and documents that changed since the schedules were made.

Schedules are part of the code location, so a new document, or another cron expression, is seen when that is loaded
again. What else a document says is read at each tick. No annotations from the future here: Dagster reads them.
"""

import json
from collections.abc import Iterator, Sequence
from urllib.error import URLError
from urllib.request import Request, urlopen

import dagster as dg

from llm_jobs.operations.records import RecurringDocument
from llm_jobs.orchestration.partitions import register
from llm_jobs.orchestration.use_cases import UseCases

ARRIVALS_INTERVAL_S = 10
RELOAD_INTERVAL_S = 30
BUDGET_S = 20.0
RELOAD_TIMEOUT_S = 30
LOCATION_NAME = "llm_jobs"
RELOAD = """mutation Reload($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename ... on PythonError { message } } }"""


@dg.sensor(
    name="arrivals",
    description="Submits each file that arrives where a recurring document waits for files.",
    minimum_interval_seconds=ARRIVALS_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def arrivals_sensor(context: dg.SensorEvaluationContext, use_cases: dg.ResourceParam[UseCases]) -> dg.SkipReason:
    """Submit the files that arrived; `launch` asks for their runs."""
    found = use_cases.take_arrivals(budget_s=BUDGET_S)
    register(context.instance, (accepted.job.hash for accepted in found.accepted))
    for problem in found.problems:
        context.log.error(problem)
    left = f", {found.remaining} left for the next look" if found.remaining else ""
    return dg.SkipReason(f"{len(found.accepted) + len(found.deferred)} files were submitted{left}")


def recurring_sensor(loaded: Sequence[RecurringDocument], *, page_url: str | None) -> dg.SensorDefinition:
    """Tells which recurring documents differ from those that the schedules were made of, and has the page at `page_url`
    load the code location again; without it, somebody has to."""

    @dg.sensor(
        name="recurring",
        description="Sees recurring documents that appear, change their times or go, and asks for a reload.",
        minimum_interval_seconds=RELOAD_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.SensorEvaluationContext, use_cases: dg.ResourceParam[UseCases]) -> dg.SkipReason:
        changes = list(_changes(loaded, use_cases.recurring_documents()))
        if not changes:
            return dg.SkipReason(f"{len(loaded)} recurring documents are as they were loaded.")
        told = "; ".join(changes)
        if page_url is None:
            return dg.SkipReason(f"{told}. Reload the code location, or set LLM_JOBS_DAGSTER_URL to have it reloaded.")
        return dg.SkipReason(f"{told}. {_reload(page_url)}")

    return sensor


def _changes(loaded: Sequence[RecurringDocument], current: Sequence[RecurringDocument]) -> Iterator[str]:
    before, now = ({document.path: document for document in listed} for listed in (loaded, current))
    for path in now.keys() - before.keys():
        yield f"{path} appeared"
    for path in before.keys() - now.keys():
        yield f"{path} has no schedule any more"
    for path in before.keys() & now.keys():
        if before[path] != now[path]:
            yield f"{path} has another schedule or name"


def _reload(page_url: str) -> str:
    """Ask for the reload; says what came of it."""
    body = json.dumps({"query": RELOAD, "variables": {"name": LOCATION_NAME}}).encode()
    request = Request(f"{page_url.rstrip('/')}/graphql", data=body, headers={"content-type": "application/json"})
    try:
        with urlopen(request, timeout=RELOAD_TIMEOUT_S) as response:
            told = json.load(response)["data"]["reloadRepositoryLocation"]
    except (URLError, TimeoutError, ValueError, KeyError, TypeError) as error:
        return f"The page at {page_url} could not be asked to reload the code location: {error}"
    if told["__typename"] == "WorkspaceLocationEntry":
        return "The code location is being reloaded."
    return f"The code location could not be reloaded: {told.get('message', told['__typename'])}"
