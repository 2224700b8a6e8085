"""The images of rendered messages: from the names that a row's templates came to, to the files that were found.

Pure but for `find_image`, which whoever knows the folders gives. A name that is no usable image is its row's error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from llm_jobs.documents.content import Image, ImagePart, images_of
from llm_jobs.documents.steps import Message
from llm_jobs.errors import RenderError, RowError
from llm_jobs.prompts.rendering import compile_messages

FindImage = Callable[[ImagePart], Image]  # of a part with a `file`; raises RowError


def no_images(part: ImagePart) -> Image:
    """Where nobody said in which folders images lie."""
    raise RowError(f"the image {part.file} cannot be looked for: no folder of images is known here")


def with_images(messages: Sequence[Message], find_image: FindImage) -> tuple[Message, ...]:
    """The messages with each file found. Raises RowError."""
    return tuple([_found(message, find_image) for message in messages])


def _found(message: Message, find_image: FindImage) -> Message:
    if isinstance(message.content, str):
        return message
    parts = [find_image(part) if _is_file(part) else part for part in message.content]  # type: ignore[arg-type]
    return replace(message, content=tuple(parts))


def _is_file(part: object) -> bool:
    return isinstance(part, ImagePart) and part.file is not None


def names_files(messages: Sequence[Message]) -> bool:
    """Does a message name an image file?"""
    return any(_is_file(part) for message in messages for part in images_of(message.content))


def files_named(
    messages: Sequence[Message], *, templated: bool
) -> Callable[[Mapping[str, object]], Iterator[ImagePart]]:
    """A function from a row to the image files that it names; it names none where a template does not fit it."""
    parts = [
        Message(role=message.role, content=(part,))
        for message in messages
        for part in images_of(message.content)
        if _is_file(part)
    ]
    renders = [compile_messages([part], templated=templated) for part in parts]

    def named(row: Mapping[str, object]) -> Iterator[ImagePart]:
        for render in renders:
            try:
                (message,) = render(row)
            except RenderError:
                continue  # told when the row is asked
            for part in images_of(message.content):
                if isinstance(part, ImagePart):
                    yield part

    return named
