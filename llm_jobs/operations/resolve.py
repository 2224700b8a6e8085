"""From a parsed document to a frozen job: prompts to text, models to what the provider receives, files to digests.

Everything that can be wrong is found here, before anything is spent. What scripts print is the prompt (or the
request), and that is what is hashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import (
    ParsedCompound,
    ParsedDocument,
    ParsedPrompt,
    ParsedRequests,
    ParsedStep,
    ParsedTableStep,
    ParsedTask,
)
from llm_jobs.documents.steps import CompoundStep, GraphStep, Message, PromptStep, RequestStep, TableStep, asking_steps
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.operations.batches_targets import check_modes
from llm_jobs.operations.candidates import Asking, Rules
from llm_jobs.operations.columns import check_names, known_columns, missing_columns
from llm_jobs.operations.destinations import check_outputs
from llm_jobs.operations.flows import wired
from llm_jobs.operations.graph_steps import as_prompt, is_graph, task_step
from llm_jobs.operations.images import check_urls, image_files
from llm_jobs.operations.inputs import resolved_input
from llm_jobs.operations.model_digest import with_digest
from llm_jobs.operations.placing import broken_template, is_written, key_place, not_found, placed, placed_column
from llm_jobs.operations.scripts import made_request, written_prompt
from llm_jobs.operations.services import Services
from llm_jobs.operations.stand_ins import check_stand_ins
from llm_jobs.prompts.broken import BrokenTemplate
from llm_jobs.prompts.library import LibraryPrompt
from llm_jobs.prompts.rendering import bind_parameters
from llm_jobs.providers.entries import CatalogueEntry
from llm_jobs.providers.vendors import reaches_servers
from llm_jobs.results.schemas import SchemaError, compile_check

SPEAKS_OPENAI = ("openai", "simulated")


def resolve(services: Services, document: ParsedDocument, *, path: Path, concurrency: int | None = None) -> Job:
    """The job that `document`, read from `path`, describes. Raises DocumentError, NotFound or SetupError."""
    document = wired(services, document)
    graph, on_status = _steps(services, document)
    policy = replace(document.policy, on_status=on_status)
    source = resolved_input(services, document, path)
    job = Job(
        name=document.name,
        steps=asking_steps(graph),
        graph=graph if is_graph(graph) else (),
        input=source,
        images=image_files(services, graph, source, path),
        policy=replace(policy, concurrency=concurrency) if concurrency else policy,
        sample=document.sample,
        epoch=document.epoch,
    )
    check_job(services, document, job)
    check_stand_ins(document, job)
    check_modes(document, job)
    check_outputs(services, document)
    return job


def resolved_graph(services: Services, document: ParsedDocument) -> tuple[GraphStep, ...]:
    """The steps alone, resolved as those of the job are; no table is looked at. Raises as `resolve`."""
    return _steps(services, wired(services, document))[0]


def check_job(services: Services, document: ParsedDocument, job: Job) -> None:
    """Columns that prompts need and names that collide, as far as they can be told without reading the whole table."""
    if job.input.kind == "batch":
        return
    columns = known_columns(job.input)
    if columns is None:
        return
    if missing := missing_columns(job, columns):
        raise DocumentError([placed(services, document, each.step, each.name, each.problem) for each in missing])
    try:
        check_names(job, columns)
    except DocumentError as error:
        raise DocumentError([placed_column(services, document, problem) for problem in error.problems]) from None


def _steps(services: Services, document: ParsedDocument) -> tuple[tuple[GraphStep, ...], dict[str, Rules]]:
    """The steps, and what follows their answers that are no success."""
    return _level(services, document, document.steps)


def _level(
    services: Services, document: ParsedDocument, level: Sequence[ParsedStep]
) -> tuple[tuple[GraphStep, ...], dict[str, Rules]]:
    steps: list[GraphStep] = []
    on_status: dict[str, Rules] = {}
    problems: list[Problem] = []
    for parsed in level:
        try:
            step, rules = _step(services, document, parsed)
        except BrokenTemplate as error:
            problems.append(broken_template(services, document, parsed, error))
        except DocumentError as error:
            problems += error.problems
        except NotFound as error:
            problems.append(not_found(document, parsed, error))
        else:
            steps.append(step)
            on_status |= rules
    if problems:
        raise DocumentError(problems)
    return tuple(steps), on_status


def _step(services: Services, document: ParsedDocument, parsed: ParsedStep) -> tuple[GraphStep, Mapping[str, Rules]]:
    """The step, and by the name of each step that asks what follows its answers."""
    if isinstance(parsed, ParsedTableStep):
        return parsed.step, {}
    if isinstance(parsed, ParsedCompound):
        return _compound(services, document, parsed)
    if isinstance(parsed, ParsedTask):
        prompt = as_prompt(services, document, parsed)
        if prompt is None:
            return task_step(services, document, parsed), {}
        parsed = prompt
    if isinstance(parsed, ParsedRequests):
        entry = services.catalogue.resolve(parsed.model, bare_provider="openai")
        if entry.model.provider not in SPEAKS_OPENAI:
            raise DocumentError([_not_openai(document, entry)])
        return RequestStep(name=parsed.name, model=entry.model, operation=parsed.operation), {}
    step, rules = _prompt_step(services, document, parsed)
    return step, {step.name: rules} if rules else {}


def _compound(
    services: Services, document: ParsedDocument, parsed: ParsedCompound
) -> tuple[CompoundStep, Mapping[str, Rules]]:
    inner, rules = _level(services, document, parsed.steps)
    step = CompoundStep(
        name=parsed.name,
        kind=parsed.kind,
        steps=tuple(each for each in inner if not isinstance(each, TableStep)),
        until=parsed.until,
        at_most=parsed.at_most,
        needs=parsed.needs,
        when=parsed.when,
    )
    return step, rules


def _not_openai(document: ParsedDocument, entry: CatalogueEntry) -> Problem:
    return document.problem(
        (),
        f"the model {entry.model.name} is reached by the provider {entry.model.provider}",
        rule=f"the requests of a batch file are OpenAI's; providers that read them: {', '.join(SPEAKS_OPENAI)}",
        remedy="name such a model, or write a YAML job",
    )


def _prompt_step(
    services: Services, document: ParsedDocument, parsed: ParsedPrompt
) -> tuple[PromptStep | RequestStep, Rules]:
    from_library = _library_prompt(services, parsed)
    entry = _entry(services, document, parsed, from_library)
    messages = _messages(services, document, parsed, from_library)
    given = {**(from_library.parameters if from_library else {}), **parsed.parameters}
    if parsed.templated:
        messages, given = bind_parameters(messages, given)
    asking = Asking(services=services, document=document, parsed=parsed, given=given)
    rules = asking.rules(
        document.policy.on_status.get(parsed.name, {}),
        most_tokens=asking.longest_answer(entry),
    )
    if parsed.command is not None:
        model = with_digest(services, entry.model)
        return made_request(services, document, replace(parsed, parameters=given), messages, model), rules
    choice = asking.choice()
    first = choice.candidates[0] if choice else asking.candidate(entry)
    schema = parsed.schema or (from_library.schema if from_library else None)
    if schema is not None:
        _check_schema(asking, schema)
    step = PromptStep(
        name=parsed.name,
        model=first.model,
        messages=messages,
        operation=parsed.operation,
        parameters=first.parameters,
        schema=schema,
        templated=parsed.templated,
        choice=choice,
        native=parsed.native,
        needs=parsed.needs,
        when=parsed.when,
    )
    check_urls(document, parsed, step)
    return step, rules


def _check_schema(asking: Asking, schema: Mapping[str, JsonValue]) -> None:
    try:
        compile_check(schema)
    except SchemaError as error:
        place = key_place(asking.services, asking.document, asking.parsed, "schema")
        source, at = place or (asking.document.source, asking.parsed.at)
        problem = source.problem(
            (*at, *error.path),
            f"the schema of prompt {asking.parsed.name} is no JSON Schema: {error.what}",
            rule="a schema is JSON Schema, and refers to nothing outside itself",
            remedy="correct it; what it refers to belongs under $defs",
        )
        raise DocumentError([problem]) from None


def _library_prompt(services: Services, parsed: ParsedPrompt) -> LibraryPrompt | None:
    return services.library.get(parsed.library.name, parsed.library.version) if parsed.library else None


def _messages(
    services: Services, document: ParsedDocument, parsed: ParsedPrompt, from_library: LibraryPrompt | None
) -> tuple[Message, ...]:
    if parsed.script is not None:
        return written_prompt(services, document, parsed)
    messages: Sequence[Message] | None = from_library.messages if from_library else parsed.messages
    return tuple(messages or ())


def _entry(
    services: Services, document: ParsedDocument, parsed: ParsedPrompt, from_library: LibraryPrompt | None
) -> CatalogueEntry:
    name = parsed.model or (from_library.model if from_library else None)
    if name is None and parsed.command is not None:
        name = f"command/{parsed.command.script}"
    if name is None:
        problem = document.problem(
            parsed.at,
            f"prompt {parsed.name} names no model",
            rule="a prompt, its library entry or the job names the model",
            remedy="add `model: simulated`, or another of `llm-jobs models`",
        )
        raise DocumentError([problem])
    entry = services.catalogue.resolve(name, endpoint=parsed.endpoint, key=parsed.api_key)
    if parsed.endpoint is not None and not reaches_servers(entry.model.provider) and is_written(document, name):
        raise DocumentError([_no_server(services, document, parsed, entry)])
    return entry


def _no_server(services: Services, document: ParsedDocument, parsed: ParsedPrompt, entry: CatalogueEntry) -> Problem:
    _, at = key_place(services, document, parsed, "endpoint") or (document.source, parsed.at)
    return document.problem(
        at,
        f"the endpoint would never be asked: the model {entry.model.name} answers without a server",
        value=parsed.endpoint,
        rule=f"models of the provider {entry.model.provider} have no endpoint",
        remedy="remove the endpoint, or name the model that it serves, such as openai/NAME",
    )
