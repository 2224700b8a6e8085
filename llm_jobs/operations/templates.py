"""Job documents made of templates: found by name in the home folder's `templates/`, filled, and written out as YAML.

A template that is run directly is kept as the document that it made, so that the job can be read again without the
parameters that made it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsing import parse_document, read_source
from llm_jobs.documents.templates import fill_template, is_template, read_template
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.documents.variables import Variables
from llm_jobs.documents.yaml_writing import write_yaml
from llm_jobs.errors import NotFound
from llm_jobs.operations.finding import template_document, template_names
from llm_jobs.operations.services import Services

_MAY_BE_TEMPLATE = re.compile(rb"""^[\s{]*["']?template["']?\s*:""", re.MULTILINE)  # spares reading all others twice
_MOST_TEMPLATE_BYTES = 16 * 1024 * 1024  # a longer document is no template


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeDocument:
    """A job document that a template made, ready to be written to a file."""

    template: str
    file_name: str
    text: str


def make_document(
    services: Services, named: str, given: Mapping[str, JsonValue], *, job_name: str | None
) -> MadeDocument:
    """The document that the template `named` (a name, or a path) makes of the parameters `given`, found good.

    Raises NotFound for an unknown template, DocumentError with the template's lines for anything that is wrong.
    """
    path = _path(services, named)
    content = path.read_bytes()
    source = read_source(path.name, content, max_bytes=_MOST_TEMPLATE_BYTES)
    variables = Variables({}, services.environment)
    read_template(source)
    filled = fill_template(source, given, variables, job_name=job_name, strict=True)
    parse_document(
        path.name,
        content,
        parameters=given,
        job_name=job_name,
        environment=services.environment,
        stacks=services.stacks.get,
    )
    return MadeDocument(
        template=filled.template, file_name=_file_name(filled.source.value), text=write_yaml(filled.source.value)
    )


def in_a_file(document: MadeDocument, folder: Path) -> Path:
    """The document in a file of `folder` that is not there yet. Raises FileExistsError."""
    path = folder / document.file_name
    with path.open("x", encoding="utf-8") as file:
        file.write(document.text)
    return path


def kept_text(services: Services, file: str, content: bytes, given: Mapping[str, JsonValue]) -> bytes:
    """The text under which a document is kept: its own, or, of a template, that of the job which it made."""
    if len(content) > _MOST_TEMPLATE_BYTES or file.lower().endswith(".jsonl") or not _MAY_BE_TEMPLATE.search(content):
        return content
    source = read_source(file, content, max_bytes=_MOST_TEMPLATE_BYTES)
    if not is_template(source.value):
        return content
    filled = fill_template(source, given, Variables({}, services.environment))
    return write_yaml(filled.source.value).encode()


def _path(services: Services, named: str) -> Path:
    path = services.working_directory / named
    if path.is_file():
        return path
    found = template_document(services.settings, named)
    if found is None:
        known = template_names(services.settings)
        hint = did_you_mean(named, known, otherwise="put one there")
        raise NotFound(
            f"no template {named!r} in {services.settings.templates}; there are {', '.join(known) or 'none'}; {hint}"
        )
    return found


def _file_name(document: JsonValue) -> str:
    job = document.get("job") if isinstance(document, dict) else None
    name = job.get("name") if isinstance(job, dict) else None
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", str(name)).lstrip(".") + ".yaml"
