"""Job templates: `template: {name, parameters, job}` becomes the job document that its parameters make of it.

`${job_name}` is the name that the new job is given, the template's own where none is. What a parameter fills is said in
`parameters`; any other `${NAME}` has to be a variable that documents may use, and stays for the document's own reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.filling import Filling
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.parameters import Bound, ParameterModel, bind, refuse_unknown
from llm_jobs.documents.parts import Part, part_of, said
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import KeyPath, Lines, Source
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.documents.variables import Variables, is_read_by_name

KEY = "template"
JOB_NAME = "job_name"
_PARAMETERS: KeyPath = (KEY, "parameters")
_JOB: KeyPath = (KEY, "job")


class TemplateModel(Model):
    name: str = Field(min_length=1, max_length=200)
    version: str | None = None
    description: str | None = None
    parameters: list[ParameterModel] = Field(default_factory=list)
    job: dict[str, Any]


class TemplateDocument(Model):
    template: TemplateModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A job document made of a template. `rest`: what was given and is no parameter of the template."""

    source: Source
    template: str
    rest: Mapping[str, JsonValue]


def is_template(value: JsonValue) -> bool:
    return isinstance(value, dict) and KEY in value


def read_template(source: Source) -> TemplateModel:
    """What a template says of itself. Raises DocumentError."""
    document, problems = validate(TemplateDocument, source, source.value)
    raise_if_any(problems)
    assert document is not None
    return document.template


def fill_template(
    source: Source,
    given: Mapping[str, JsonValue],
    variables: Variables,
    *,
    job_name: str | None = None,
    strict: bool = False,
) -> Filled:
    """The job document that the template and `given` make. `strict`: whatever is given has to be a parameter of the
    template; else the rest is the job's. Raises DocumentError with every problem found."""
    template = read_template(source)
    checks = Checks(source)
    declared = [parameter.name for parameter in template.parameters]
    given, job_name = _without_name(given, job_name)
    if strict:
        refuse_unknown(given, declared, checks, _PARAMETERS)
    bound = {JOB_NAME: Bound(job_name or template.name, is_default=job_name is None)}
    bound |= bind(template.parameters, given, checks, _PARAMETERS)
    raise_if_any(checks.problems)  # what is not bound would be reported once more at each place that it fills
    filling = Filling(
        source=source, values=bound, checks=checks, kept=variables.may_stand, raw=is_read_by_name, of="the template"
    )
    job = _body(source, filling, template.name)
    if job_name is not None and JOB_NAME not in filling.used:
        job = job.put(("name",), said(job_name, Origin(kind="option", file=source.file, path=(), name="--name")))
    raise_if_any(checks.problems)
    rest = {name: value for name, value in given.items() if name not in declared}
    return Filled(source=_document(source, job), template=template.name, rest=rest)


def _without_name(given: Mapping[str, JsonValue], job_name: str | None) -> tuple[Mapping[str, JsonValue], str | None]:
    """`--param job_name=x` says the same as `--name x`."""
    stated = given.get(JOB_NAME)
    if not isinstance(stated, str | int):
        return given, job_name
    return {name: value for name, value in given.items() if name != JOB_NAME}, job_name or str(stated)


def _body(source: Source, filling: Filling, template: str) -> Part:
    body = part_of(source).at(_JOB)
    assert body is not None
    origin = Origin(kind="template", file=source.file, path=_JOB, name=template)
    return filling.fill(body.from_(origin), at=_JOB, becomes=("job",))


def _document(source: Source, job: Part) -> Source:
    return Source(source.file, {"job": job.value}, Lines(source.line_of((KEY,)), {"job": job.lines}))
