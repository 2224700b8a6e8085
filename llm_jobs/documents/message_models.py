"""What a user may write as a message: one text, or parts that are texts and images."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.content import content_from
from llm_jobs.documents.steps import Message
from llm_jobs.documents.strict import Model


class PartModel(Model):
    """A part of a message: a text, or an image by its file or by a URL that the vendor fetches."""

    type: Literal["text", "image"]
    text: str | None = None
    file: str | None = Field(default=None, min_length=1)
    url: str | None = Field(default=None, min_length=1)
    detail: Literal["low", "high", "original", "auto"] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.type == "text" and (self.text is None or self.model_fields_set - {"type", "text"}):
            raise PydanticCustomError("part", "is no text part; write {{type: text, text: …}}")
        if self.type == "image" and ((self.file is None) == (self.url is None) or self.text is not None):
            raise PydanticCustomError("part", "is no image part; write {{type: image, file: …}} or url: …, one of them")
        return self


def _parts(value: Any) -> Any:
    """One text as a list of one part, which does not say its type: nobody wrote it as a part."""
    if isinstance(value, str):
        return [PartModel.model_construct({"text"}, type="text", text=value)]
    if not isinstance(value, list):
        raise PydanticCustomError("string_type", "should be a valid string, or a list of parts")
    return value


class MessageModel(Model):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[PartModel], BeforeValidator(_parts), Field(min_length=1)]

    @model_validator(mode="after")
    def _shows_images_as_the_user(self) -> Self:
        if self.role != "user" and any(part.type == "image" for part in self.content):
            raise PydanticCustomError(
                "images", "holds an image, which stands in messages of the user alone; move it to `role: user`"
            )
        return self

    @property
    def text(self) -> str | None:
        """The content where it is one text and no list of parts."""
        return None if "type" in self.content[0].model_fields_set else self.content[0].text

    def message(self) -> Message:
        """The message as steps have it."""
        text = self.text
        parts = [part.model_dump(exclude_none=True) for part in self.content] if text is None else text
        return Message(role=self.role, content=content_from(parts))
