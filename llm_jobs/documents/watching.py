"""What a user may write about watching a job: the sections `monitoring`, `logging` and `alerts` of a YAML job."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.strict import Model

_ADDRESS = r"^[^@\s<>,;\"()\[\]\\]+@[^@\s<>,;\"()\[\]\\]+$"  # the addr-spec of RFC 5322 less quotes and comments
_OF_ACTION = {"recipients": "email", "channel": "slack", "url": "webhook", "api_key": "webhook"}
_NEEDED = {"email": "recipients", "webhook": "url"}


def _lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _switch(value: Any) -> Any:
    """`off` is text in YAML 1.2, and a person who writes it means false."""
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


class PrometheusModel(Model):
    push: str = Field(min_length=1)


class ExportModel(Model):
    prometheus: PrometheusModel | None = None


def _export(value: Any) -> Any:
    if isinstance(value, str) and value != "prometheus":
        raise PydanticCustomError("export", "{value} is not known as a place for metrics", {"value": value})
    return {} if value == "prometheus" else value


class MonitoringModel(Model):
    metrics: list[str] = Field(min_length=1)
    export_to: Annotated[ExportModel | None, BeforeValidator(_export)] = None


class LoggingModel(Model):
    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lowered)] = "info"
    format: Literal["json", "text"] = "json"
    destination: Literal["file", "stdout", "stderr"] = "file"
    path: str | None = Field(default=None, min_length=1)
    rotate: Literal["daily", "size"] | None = None
    content: Annotated[bool, BeforeValidator(_switch)] = False

    @model_validator(mode="after")
    def _files_only(self) -> LoggingModel:
        for key in ("path", "rotate"):
            if self.destination != "file" and getattr(self, key) is not None:
                told = {"key": key, "destination": self.destination}
                raise PydanticCustomError("of_files", "says {key}, which {destination} has not", told)
        return self


_Addresses = Annotated[list[Annotated[str, Field(pattern=_ADDRESS)]], Field(min_length=1)]


class AlertModel(Model):
    condition: str = Field(min_length=1)
    action: Literal["email", "slack", "webhook", "log"]
    recipients: Annotated[_Addresses | None, BeforeValidator(_listed)] = None
    channel: str | None = Field(default=None, min_length=1)
    url: str | None = None
    api_key: str | None = None

    @model_validator(mode="after")
    def _suits_its_action(self) -> AlertModel:
        for key, action in _OF_ACTION.items():
            if self.action != action and getattr(self, key) is not None:
                told = {"key": key, "action": self.action, "other": action}
                raise PydanticCustomError("of_action", "says {key}, which is for {other} and not for {action}", told)
        needed = _NEEDED.get(self.action)
        if needed is not None and getattr(self, needed) is None:
            told = {"key": needed, "action": self.action}
            raise PydanticCustomError("needed", "has no {key}, which {action} needs", told)
        return self
