"""The image files of a job: what of them is the job's identity, and where its rows' names are looked for.

A job is identified by the bytes of the images that its table names, so that a changed file is another job and a file
that was moved costs nothing. They are read while the job is frozen, and once more when they are sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from llm_jobs.documents.content import ImagePart, images_of
from llm_jobs.documents.identity import canonical_line, hash_of
from llm_jobs.documents.job import ImageFiles, Input, Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt
from llm_jobs.documents.steps import GraphStep, PromptStep, asking_steps
from llm_jobs.errors import DocumentError, RowError
from llm_jobs.operations.services import Services
from llm_jobs.prompts.images import FindImage, files_named, names_files, no_images
from llm_jobs.providers.ollama import OllamaProvider
from llm_jobs.sources.images import ImageFinder
from llm_jobs.sources.rows import iterate

_READ_HERE = ("inline", "file")
Row = Mapping[str, JsonValue]


def image_files(services: Services, graph: Iterable[GraphStep], source: Input, path: Path) -> ImageFiles | None:
    """The image files of a job that is being frozen from the document at `path`; None where it names none."""
    named = _named_by(asking_steps(graph))
    if named is None:
        return None
    folder = str(path.resolve().parent)
    if source.kind not in _READ_HERE:
        return ImageFiles(digest=hash_of({"folder": folder}), folder=folder)
    finder = _finder(services, folder)
    digest = hashlib.sha256()
    for rows in _batches(source):
        finder.look_ahead(part for row in rows for part in named(row))  # several at once where they are behind URLs
        for row in rows:
            digest.update(canonical_line({"images": [_identity(finder, part) for part in named(row)]}))
    return ImageFiles(digest=digest.hexdigest(), folder=folder)


def image_finder(services: Services, job: Job) -> ImageFinder | None:
    """What finds the images of a job that is asked or planned; None where it names none."""
    return None if job.images is None else _finder(services, job.images.folder)


def find_image(finder: ImageFinder | None) -> FindImage:
    return no_images if finder is None else finder.find


def look_ahead(job: Job, finder: ImageFinder | None) -> Callable[[Iterable[Row]], None] | None:
    """What looks at the images of rows before they are rendered, away from the event loop; None where none is named."""
    named = _named_by(job.steps)
    if named is None or finder is None:
        return None
    return lambda rows: finder.look_ahead(part for row in rows for part in named(row))


def check_urls(document: ParsedDocument, parsed: ParsedPrompt, step: PromptStep) -> None:
    """Raise DocumentError where a model that fetches nothing is given an image by its URL."""
    by_url = any(
        isinstance(part, ImagePart) and part.url is not None
        for message in step.messages
        for part in images_of(message.content)
    )
    model = next((model for model in step.models if model.provider == OllamaProvider.kind), None)
    if by_url and model is not None:
        problem = document.problem(
            parsed.at,
            f"prompt {step.name} gives {model.name} an image by its URL",
            rule="Ollama fetches no images",
            remedy="write `file:` with its path, or an fsspec URL on an allowed host",
        )
        raise DocumentError([problem])


def _named_by(steps: Iterable[object]) -> Callable[[Row], Iterator[ImagePart]] | None:
    """The image files that a row of the table names in any of the steps."""
    naming = [
        files_named(step.messages, templated=step.templated)
        for step in steps
        if isinstance(step, PromptStep) and names_files(step.messages)
    ]
    return (lambda row: (part for named in naming for part in named(row))) if naming else None


def _batches(source: Input) -> Iterator[Sequence[Row]]:
    """The rows as they stand; what is wrong with the table is told when it is frozen."""
    with suppress(DocumentError):
        yield from iterate(source)


def _identity(finder: ImageFinder, part: ImagePart) -> str | None:
    try:
        return finder.find(part).sha256
    except RowError:
        return None  # told when the row is asked


def _finder(services: Services, folder: str) -> ImageFinder:
    settings = services.settings
    return ImageFinder(
        folders=[Path(folder), settings.home, settings.home.parent],
        roots=settings.allowed_roots,
        allowed_hosts=settings.allowed_hosts,
        memory=services.images,
    )
