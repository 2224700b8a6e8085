"""The door of this room: bytes of any accepted format in, parsed documents out. The content decides the format."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from os import fspath
from pathlib import PurePath

from llm_jobs.documents.choices import Choices
from llm_jobs.documents.formats import batch, job, pair, pipeline, pipeline_of_jobs, task_graph, task_message
from llm_jobs.documents.formats.pipeline_of_jobs import KEY
from llm_jobs.documents.json_text import read_json, read_line
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import FormatName, ParsedDocument
from llm_jobs.documents.parts import part_of
from llm_jobs.documents.profiles import profile_names
from llm_jobs.documents.stacks import StackReader
from llm_jobs.documents.templates import is_template
from llm_jobs.documents.text import Source, decode
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError, Problem

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024

_PARSERS: Mapping[FormatName, Callable[[Source, Choices], list[ParsedDocument]]] = {
    "job": job.parse,
    "pair": pair.parse,
    "pipeline": pipeline.parse,
    "task_graph": task_graph.parse,
    "task_message": task_message.parse,
}
_TOLD_BY: Mapping[FormatName, Callable[[JsonValue], bool]] = {
    "task_message": task_message.is_messages,
    "task_graph": task_graph.is_task_graph,
    "pipeline": pipeline.is_pipeline,
}
_FIRST_LINE_BYTES = 4 * 1024 * 1024
_LINES_SUFFIXES = (".jsonl", ".ndjson")
_NAMED = ("job", "pipeline", "template")  # what a document holds that has a name
_TOP_KEYS = ("job", "template", "pipeline", "configuration", "prompt")


def parse_document(
    file: str | PurePath,
    content: bytes,
    *,
    profile: str | None = None,
    parameters: Mapping[str, JsonValue] | None = None,
    input_override: str | None = None,
    epoch: str | None = None,
    models: Sequence[str] = (),
    job_name: str | None = None,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    stacks: StackReader | None = None,
    max_bytes: int = MAX_DOCUMENT_BYTES,
) -> list[ParsedDocument]:
    """What a document asks: one value per name in `models`, or one with the document's own models.

    `file` is shown in errors and names a job that names itself not. `parameters` are those of `--param` as values
    (`choices.read_parameters`): a parameter of requests is set in every prompt, any other name replaces the value
    where a prompt declares it, and a name that none declares is an error. `${NAME}` is filled from `variables`, or
    from those of `environment` that its LLM_JOBS_DOCUMENT_VARIABLES lists. Reads nothing but its arguments.

    Raises DocumentError with every problem found.
    """
    name = fspath(file)
    choices = Choices(
        profile=profile,
        parameters=dict(parameters or {}),
        input_override=input_override,
        epoch=epoch,
        models=tuple(models),
        job_name=job_name,
        environment=environment or {},
        variables=dict(variables or {}),
        stacks=stacks,
    )
    if _holds_messages(name, content):
        lines = task_message.read_lines(name, decode(name, content, max_bytes=max_bytes))
        return task_message.parse(lines, choices)
    if _is_batch(name, content) and len(content) <= max_bytes:
        return batch.parse(name, content, choices)
    source = _read(name, decode(name, content, max_bytes=max_bytes))
    if pipeline_of_jobs.is_pipeline(source):
        pipeline_of_jobs.parse(source)  # what is wrong with it comes first
        raise DocumentError([_no_single_job(source)])
    return _PARSERS[_format(source)](source, choices)


def read_pipeline(
    file: str | PurePath, content: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES
) -> pipeline_of_jobs.ParsedPipeline | None:
    """The pipeline that a document is; None where it is another document. Raises DocumentError for a wrong one."""
    if KEY.encode() not in content or _is_batch(fspath(file), content):
        return None
    source = read_source(file, content, max_bytes=max_bytes)
    return pipeline_of_jobs.parse(source) if pipeline_of_jobs.is_pipeline(source) else None


def _no_single_job(source: Source) -> Problem:
    return source.problem(
        (KEY,),
        "the document is a pipeline, which is several jobs",
        rule="what is asked for here is one job",
        remedy="name one of its jobs; `llm-jobs run` and `llm-jobs submit` take the pipeline as it is",
    )


def detect(file: str | PurePath, content: bytes) -> FormatName:
    """The format of a document. Raises DocumentError if it is none that is read here."""
    name = fspath(file)
    if _holds_messages(name, content):
        return "task_message"
    if _is_batch(name, content):
        return "batch"
    return _format(_read(name, decode(name, content, max_bytes=MAX_DOCUMENT_BYTES)))


def read_source(file: str | PurePath, content: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Source:
    """The value of a YAML or JSON document with its lines, whatever it means. Raises DocumentError."""
    name = fspath(file)
    return _read(name, decode(name, content, max_bytes=max_bytes))


def stated_name(file: str | PurePath, content: bytes) -> str | None:
    """The name that a document gives what it holds; None where it gives none or cannot be read."""
    name = fspath(file)
    try:
        value = _read(name, decode(name, content, max_bytes=MAX_DOCUMENT_BYTES)).value
    except DocumentError:
        return None
    held = next((value[key] for key in _NAMED if key in value), None) if isinstance(value, dict) else None
    stated = held.get("name") if isinstance(held, dict) else None
    return stated if isinstance(stated, str) else None


def profiles_of(file: str | PurePath, content: bytes) -> list[str]:
    """The names of the profiles of a YAML job or template; none of any other document. Raises DocumentError."""
    name = fspath(file)
    if _is_batch(name, content):
        return []
    whole = part_of(read_source(name, content))
    job = whole.at(("template", "job")) or whole.get("job")
    return profile_names(job) if job else []


def _is_batch(name: str, content: bytes) -> bool:
    """Whether the first line is a request by itself, or the file's name says that lines are rows."""
    if name.lower().endswith(_LINES_SUFFIXES):
        return True
    first = _first_line(content)
    if not (first.startswith(b"{") and b'"custom_id"' in first):
        return False
    try:
        row = read_line(first.decode())
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "custom_id" in row


def _holds_messages(name: str, content: bytes) -> bool:
    """Whether a file's name says that lines are rows, and its first line is a task message."""
    if not name.lower().endswith(_LINES_SUFFIXES):
        return False
    try:
        return task_message.is_message(read_line(_first_line(content).decode()))
    except (ValueError, RecursionError):
        return False


def _first_line(content: bytes) -> bytes:
    return content[:_FIRST_LINE_BYTES].removeprefix(BOM_UTF8).lstrip().split(b"\n", 1)[0]


def _read(name: str, text: str) -> Source:
    return pipeline.read_relaxed(name, text) or _read_strictly(name, text)


def _read_strictly(name: str, text: str) -> Source:
    suffix = PurePath(name).suffix.lower()
    is_json = suffix == ".json" or (suffix not in (".yaml", ".yml") and text.lstrip().startswith(("{", "[")))
    return read_json(name, text) if is_json else read_yaml(name, text)


def _format(source: Source) -> FormatName:
    value = source.value
    if isinstance(value, dict):
        if "job" in value or is_template(value):
            return "job"
        if "configuration" in value or ("prompt" in value and not task_message.is_message(value)):
            return "pair"
    found = next((name for name, is_it in _TOLD_BY.items() if is_it(value)), None)
    if found is not None:
        return found
    keys = list(value) if isinstance(value, dict) else []
    first = str(keys[0]) if keys else ""
    problem = source.problem(
        (first,) if keys else (),
        f"the key {first!r} begins no document" if keys else "the document is not a mapping",
        rule="it begins with `job` or `pipeline`, is a pair of `configuration` and `prompt`, a graph or a message",
        remedy=did_you_mean(first, _TOP_KEYS, otherwise="write `job:` and everything else below it"),
    )
    raise DocumentError([problem])
