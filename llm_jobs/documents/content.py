"""What one message says: a text, or parts that are texts and images. Plain values; nothing here reads a file.

A part names its image as a document writes it: `ImagePart`, whose texts are templates until they are filled. A file
that was found is an `Image`: the digest of its bytes, which is its identity, and the means to read them when the
request is about to be sent. Where its base64 will stand in a request, its `reference` stands until then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_jobs.documents.json_value import JsonValue

REFERENCE = "sha256:"  # no base64 has a colon: no data that a user writes is taken for a reference
# Anthropic counts width × height / 750 tokens of an image scaled to at most 1,568 pixels a side and some 1,600 tokens
# (platform.claude.com, "Vision"); OpenAI's models that count tiles of 512 or patches of 32 pixels come to as much.
PIXELS_PER_TOKEN = 750
LONGEST_SIDE = 1_568
MOST_TOKENS = 1_600


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePart:
    """An image by its file or by a URL that the vendor fetches; one of the two."""

    file: str | None = None
    url: str | None = None
    detail: str | None = None  # OpenAI's word for the resolution that the model sees; other vendors have none

    @property
    def tokens(self) -> int:
        """About how many tokens it is; nobody knows the size of an image behind a URL."""
        return MOST_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image file that was found. `read` gives the bytes that have the digest, and no others."""

    sha256: str  # 64 hexadecimal characters
    media_type: str
    size_bytes: int
    width: int
    height: int
    detail: str | None = None
    place: str = field(default="", compare=False)  # for errors
    read: Callable[[], bytes] = field(compare=False, repr=False)

    @property
    def reference(self) -> str:
        return REFERENCE + self.sha256

    @property
    def tokens(self) -> int:
        """About how many tokens it is, by its size in pixels."""
        scale = min(1.0, LONGEST_SIDE / max(self.width, self.height, 1))
        pixels = self.width * scale * self.height * scale
        return max(1, min(MOST_TOKENS, math.ceil(pixels / PIXELS_PER_TOKEN)))


Part = TextPart | ImagePart | Image
Content = str | tuple[Part, ...]


def content_texts(content: Content) -> Iterator[str]:
    """Every text of what a document wrote, in order: each may be a template."""
    if isinstance(content, str):
        yield content
        return
    for part in content:
        if isinstance(part, TextPart):
            yield part.text
        elif isinstance(part, ImagePart):
            yield part.file if part.file is not None else str(part.url)


def with_texts(content: Content, change: Callable[[str], str]) -> Content:
    """The same content with each of its texts changed."""
    if isinstance(content, str):
        return change(content)
    return tuple([_with_text(part, change) for part in content])


def _with_text(part: Part, change: Callable[[str], str]) -> Part:
    if isinstance(part, TextPart):
        return TextPart(text=change(part.text))
    if isinstance(part, Image):
        return part
    if part.file is not None:
        return replace(part, file=change(part.file))
    return replace(part, url=change(str(part.url)))


def images_of(content: Content) -> list[ImagePart | Image]:
    return [] if isinstance(content, str) else [part for part in content if not isinstance(part, TextPart)]


def content_json(content: Content) -> JsonValue:
    """The content as a document writes it, an image that was found by its digest: what identity is made of."""
    return content if isinstance(content, str) else [_part_json(part) for part in content]


def _part_json(part: Part) -> JsonValue:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    detail: dict[str, JsonValue] = {} if part.detail is None else {"detail": part.detail}
    if isinstance(part, Image):
        return {"type": "image", "sha256": part.sha256, **detail}
    named: dict[str, JsonValue] = {"file": part.file} if part.file is not None else {"url": part.url}
    return {"type": "image", **named, **detail}


def content_from(value: str | Sequence[Mapping[str, Any]]) -> Content:
    """The content of its JSON, as `content_json` or a frozen job has it."""
    if isinstance(value, str):
        return value
    return tuple(
        TextPart(text=part["text"])
        if part.get("text") is not None
        else ImagePart(file=part.get("file"), url=part.get("url"), detail=part.get("detail"))
        for part in value
    )


def shown_content(content: Content) -> str:
    """The content as text for people: images by where they come from."""
    if isinstance(content, str):
        return content
    return "\n".join(part.text if isinstance(part, TextPart) else _shown(part) for part in content)


def _shown(image: ImagePart | Image) -> str:
    if isinstance(image, Image):
        return f"[image {image.media_type}, {image.reference}]"
    return f"[image {image.file if image.file is not None else image.url}]"
