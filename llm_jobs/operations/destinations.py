"""What the destinations of a job need of the environment, looked up by name; and whether results may go there at all.

Checked when a document is submitted, so that nothing is spent on a result that cannot be delivered, and again when it
is delivered. Nothing here connects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llm_jobs.deliveries.places import destination
from llm_jobs.deliveries.subject import Subject
from llm_jobs.documents.connections import check_host, resolve_connection
from llm_jobs.documents.destinations import ApiOutput, DatabaseOutput, FileOutput, Output
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.text import KeyPath
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.operations.model_keys import REFERENCE, refuse_model_keys
from llm_jobs.operations.placing import setup_error
from llm_jobs.operations.services import Services
from llm_jobs.settings import Settings

_TELLING = {"file": "path", "database": "connection", "api": "endpoint"}  # the key that says where
_ANY_RESULT = Subject(name="name", job_hash="0" * 32, epoch_ns=0, document="document")


def check_outputs(services: Services, document: ParsedDocument) -> None:
    """Raise DocumentError or SetupError, with the place in the document, where a result could not be delivered."""
    for at, output in _stated(document):
        try:
            _check(services, output)
        except DocumentError as error:
            problems = [
                document.problem(at, problem.what, value=problem.value, rule=problem.rule, remedy=problem.remedy)
                for problem in error.problems
            ]
            raise DocumentError(problems) from None
        except SetupError as error:
            raise setup_error(document, at, error) from None


def _stated(document: ParsedDocument) -> Iterator[tuple[KeyPath, Output]]:
    """The destinations of a document, and where each stands."""
    outputs, handling = document.policy.outputs, document.policy.on_output_error
    for index, output in enumerate(outputs):
        place: KeyPath = ("job", "output", index) if len(outputs) > 1 else ("job", "output")
        yield (*place, _TELLING[output.destination]), output
    if handling.fallback is not None:
        at = ("job", "error_handling", "on_output_error", "fallback", _TELLING[handling.fallback.destination])
        yield at, handling.fallback


def _check(services: Services, output: Output) -> None:
    if isinstance(output, DatabaseOutput):
        connection_of(services, output)
    elif isinstance(output, ApiOutput):
        credentials_of(services, output)
    elif "://" in output.path:
        _check_object(services.settings, output)
    else:
        base = services.settings.home.parent
        destination(output, _ANY_RESULT, base=base, roots=roots_of(services.settings))


def roots_of(settings: Settings) -> tuple[Path, ...]:
    """The folders that files are delivered to."""
    return (settings.home, settings.home.parent, *settings.allowed_roots)


def connection_of(services: Services, output: DatabaseOutput) -> str:
    """The URL of a database with its credentials. Raises SetupError, and DocumentError for a credential that is the key
    of a model."""
    settings = services.settings
    refuse_model_keys(services, [output.connection], place=output.place)
    url = resolve_connection(
        output.connection,
        environment=services.environment,
        home=settings.home,
        allowed_hosts=settings.allowed_hosts,
        roots=settings.allowed_roots,
    )
    if _place(url) in (_place(settings.database_url), _place(settings.limits_url)):
        raise SetupError(
            f"{output.place}: this is the database of llm-jobs itself, which holds its own tables only; "
            "name another database"
        )
    return url


def credentials_of(services: Services, output: ApiOutput) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers of a request with their secrets filled in, and the secrets. Raises SetupError, and DocumentError for
    the key of a model."""
    check_host(output.endpoint, allowed=services.settings.allowed_hosts)
    named = [*output.headers.values(), *([f"${{{output.bearer}}}"] if output.bearer else [])]
    refuse_model_keys(services, named, place=output.place)
    secrets: list[str] = []

    def value(name: str) -> str:
        if not (found := services.environment.get(name)):
            raise SetupError(f"{output.endpoint} needs the variable {name}, which is not set; set it")
        secrets.append(found)
        return found

    headers = {name: REFERENCE.sub(lambda match: value(match[1]), text) for name, text in output.headers.items()}
    if output.bearer is not None:
        headers["Authorization"] = f"Bearer {value(output.bearer)}"
    for name, text in headers.items():
        if not text.isprintable() or not text.isascii():
            raise SetupError(f"the header {name} for {output.endpoint} cannot be sent; look at the variables in it")
    return headers, tuple(secrets)


def _check_object(settings: Settings, output: FileOutput) -> None:
    scheme = output.path.partition("://")[0].lower()
    if "::" in output.path or scheme in ("file", "local", "memory", "http", "https"):
        raise SetupError(
            f"results are not delivered to {output.path}; write a path, or the URL of an object store such as "
            "s3://bucket/key"
        )
    check_host(output.path, allowed=settings.allowed_hosts)


def _place(url: str) -> str:
    """A database by its address, without driver and credentials."""
    scheme, _, rest = url.partition("://")
    address = rest.partition("?")[0].rpartition("@")[2]
    return f"{scheme.partition('+')[0]}://{address}"
