"""Parts of messages in the words of each vendor, and the bytes of images in their places. Pure but for `with_bytes`.

Where base64 will stand, the reference of the image's digest stands (`documents.content`), so that a request is made,
identified and recorded without a byte of any image; `with_bytes` reads them for the one sending. Sources: the guides
"Images and vision" of developers.openai.com and "Vision" of platform.claude.com, docs/api.md of ollama/ollama.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence

from llm_jobs.documents.content import REFERENCE, Content, Image, ImagePart, Part, TextPart
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import RowError
from llm_jobs.providers.base import Request

_IMAGES = frozenset({"image", "image_url", "input_image"})  # what vendors call a part that is one
_BESIDE = "images"  # Ollama's place for them, beside a turn's text


def chat_content(content: Content) -> JsonValue:
    """As OpenAI's chat completions take it."""
    return content if isinstance(content, str) else [_chat_part(part) for part in content]


def _chat_part(part: Part) -> JsonValue:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": _url(part), **_detail(part)}}


def responses_content(content: Content) -> JsonValue:
    """As OpenAI's responses take it."""
    return content if isinstance(content, str) else [_responses_part(part) for part in content]


def _responses_part(part: Part) -> JsonValue:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": _url(part), **_detail(part)}


def _url(image: ImagePart | Image) -> str:
    if isinstance(image, Image):
        return f"data:{image.media_type};base64,{image.reference}"
    return _checked(image)


def _detail(image: ImagePart | Image) -> dict[str, JsonValue]:
    return {} if image.detail is None else {"detail": image.detail}


def anthropic_content(content: Content) -> JsonValue:
    """As Anthropic's messages take it."""
    return content if isinstance(content, str) else [_anthropic_part(part) for part in content]


def _anthropic_part(part: Part) -> JsonValue:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        return {"type": "image", "source": {"type": "url", "url": _checked(part)}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.reference}}


def ollama_turn(content: Content) -> dict[str, JsonValue]:
    """The members of one of Ollama's turns: its texts as one, and the images beside it. Raises RowError for a URL."""
    if isinstance(content, str):
        return {"content": content}
    text = "\n".join(part.text for part in content if isinstance(part, TextPart))
    images: list[JsonValue] = [_ollama_image(part) for part in content if not isinstance(part, TextPart)]
    return {"content": text, _BESIDE: images} if images else {"content": text}


def _ollama_image(image: ImagePart | Image) -> str:
    if isinstance(image, Image):
        return image.reference
    raise RowError("Ollama fetches no images; name the image as a `file`")


def _checked(image: ImagePart) -> str:
    """The URL, which the vendor fetches. Raises RowError for what is none of the web."""
    url = image.url or ""
    if url.startswith(("https://", "http://")):
        return url
    raise RowError(f"the image URL {url[:80]!r} is none of http or https; what lies here is a `file`")


def with_bytes(body: Mapping[str, JsonValue], images: Iterable[ImagePart | Image]) -> dict[str, JsonValue]:
    """The body with the base64 of each image in its place. Blocks; raises PermanentError where an image is no longer
    what it was when the request was made."""
    data = {each.reference: base64.b64encode(each.read()).decode() for each in images if isinstance(each, Image)}
    key = "messages" if "messages" in body else "input"
    turns = body.get(key)
    return {**body, key: [_turn(turn, data) for turn in turns]} if isinstance(turns, list) else dict(body)


def body_to_send(request: Request) -> Mapping[str, JsonValue]:
    """The body of `request` as it leaves this process. Blocks and raises as `with_bytes`."""
    return with_bytes(request.body, request.images) if request.images else request.body


def _turn(turn: JsonValue, data: Mapping[str, str]) -> JsonValue:
    if not isinstance(turn, dict):
        return turn
    content, beside = turn.get("content"), turn.get(_BESIDE)
    made = dict(turn)
    if isinstance(content, list):
        made["content"] = [_filled(part, data) if _is_image(part) else part for part in content]
    if isinstance(beside, list):
        made[_BESIDE] = [_filled(image, data) for image in beside]
    return made


def _is_image(part: JsonValue) -> bool:
    return isinstance(part, dict) and part.get("type") in _IMAGES


def _filled(value: JsonValue, data: Mapping[str, str]) -> JsonValue:
    if isinstance(value, dict):
        return {name: _filled(each, data) for name, each in value.items()}
    if isinstance(value, str) and REFERENCE in value:
        head, mark, digest = value.rpartition(REFERENCE)
        return head + data.get(mark + digest, mark + digest)
    return value


def sent_bytes(images: Sequence[ImagePart | Image]) -> int:
    """How many bytes of base64 `with_bytes` puts in."""
    return sum(4 * -(-each.size_bytes // 3) for each in images if isinstance(each, Image))
