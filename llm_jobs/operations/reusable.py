"""What may be reused, as tables: the templates and the stacks of the home folder, with their parameters.

A file that cannot be read is listed with the reason in the place of its parameters: it hides no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps

from llm_jobs.documents.parameters import ParameterModel
from llm_jobs.documents.parsing import read_source
from llm_jobs.documents.stacks import read_stack
from llm_jobs.documents.templates import read_template
from llm_jobs.errors import DocumentError
from llm_jobs.operations.finding import template_documents
from llm_jobs.operations.services import Services

Row = dict[str, object]


def templates(services: Services) -> list[Row]:
    """Each template, by its file."""
    return [_template(path.name, path.read_bytes(), named=path.stem) for path in template_documents(services.settings)]


def stacks(services: Services) -> list[Row]:
    """Each version of each stack, lowest first."""
    library = services.stacks
    return [_stack(services, name, version) for name in library.names() for version in library.versions(name)]


def _template(file: str, content: bytes, *, named: str) -> Row:
    try:
        template = read_template(read_source(file, content))
    except DocumentError as error:
        return {"template": named, "file": file, "parameters": str(error), "description": ""}
    return {
        "template": template.name,
        "file": file,
        "parameters": _told(template.parameters),
        "description": template.description or "",
    }


def _stack(services: Services, name: str, version: str) -> Row:
    row: Row = {"stack": name, "version": version, "steps": 0, "parameters": "", "description": ""}
    try:
        model = read_stack(services.stacks.get(name, version).source)
    except DocumentError as error:
        return row | {"parameters": str(error)}
    steps = model.prompts or model.steps or model.phases or []
    told = {"steps": len(steps), "parameters": _told(model.parameters), "description": model.description or ""}
    return row | told


def _told(parameters: Sequence[ParameterModel]) -> str:
    """`language: string, words: integer = 20`."""
    return ", ".join(f"{each.name}: {each.type}{_default(each)}" for each in parameters)


def _default(parameter: ParameterModel) -> str:
    if "default" in parameter.model_fields_set or parameter.required is False:
        return f" = {dumps(parameter.default, ensure_ascii=False)}"
    return ""
