"""Format 6: an OpenAI batch file. The whole file is one job, a line is a row: `custom_id`, `method`, `url`, `body`.

Every line is checked before the first call is sent, and the lines are read as a stream: a hundred thousand in a few
seconds, none kept. The file's digest is that of its parsed lines, so that neither formatting nor the order of members
within a line makes another job. As in OpenAI's own service a file holds one endpoint and one model. Nothing in it is a
template and `${NAME}` is text, for the requests are finished.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from llm_jobs.documents.choices import Choices, not_for
from llm_jobs.documents.identity import canonical_line
from llm_jobs.documents.json_text import read_line
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedDocument, ParsedInput, ParsedRequests
from llm_jobs.documents.steps import Operation
from llm_jobs.documents.text import NO_CHILDREN, Lines, Source, is_credential, shown_value
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DocumentError, Problem

MAX_LISTED = 20
OPERATION_OF_URL: Mapping[str, Operation] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
}
_KEYS = ("custom_id", "method", "url", "body")
_KEY_SET = frozenset(_KEYS)


def parse(file: str, content: bytes, choices: Choices) -> list[ParsedDocument]:
    """The file once per chosen model. Raises DocumentError with the first 20 bad lines and the number of the rest."""
    refused = not_for(file, "batch file", choices, ["profile", "parameters", "input"])
    if refused:
        raise DocumentError(refused)
    return [_parse_for(file, content, choices, model) for model in choices.models or (None,)]


def _parse_for(file: str, content: bytes, choices: Choices, model: str | None) -> ParsedDocument:
    reader = _Reader(file, any_model=model is not None)
    digest = hashlib.sha256()  # as identity.rows_digest, in one pass with the checks
    for line in reader.canonical_lines(content):
        digest.update(line)
    reader.refuse()
    table = ParsedInput(kind="batch", digest=digest.hexdigest(), row_count=reader.row_count)
    step = ParsedRequests(model=model or reader.model, operation=OPERATION_OF_URL[reader.url])
    return ParsedDocument(
        format="batch",
        name=PurePath(file).stem,
        steps=(step,),
        input=table,
        epoch=choices.epoch,
        source=Source(file, None, Lines(1, NO_CHILDREN)),
    )


class _Refused(Exception):
    """What is wrong with one line."""

    def __init__(self, what: str, *, key: str | None = None, value: JsonValue = None, rule: str, remedy: str) -> None:
        self.what, self.key, self.value, self.rule, self.remedy = what, key, value, rule, remedy
        super().__init__(what)


class _Reader:
    """Reads the lines once; remembers the bad ones, and what all good ones have in common."""

    def __init__(self, file: str, *, any_model: bool) -> None:
        self.file = file
        self.any_model = any_model
        self.row_count = 0
        self.url = ""
        self.model = ""
        self._first_line = 0  # the line that set url and model for all
        self._line_of_id: dict[str, int] = {}
        self._problems: list[Problem] = []
        self._bad_count = 0

    def canonical_lines(self, content: bytes) -> Iterator[bytes]:
        """The rows that are good, in canonical form, as they stand: a chosen model is the step's, not theirs."""
        for number, line in enumerate(io.BytesIO(content), 1):
            if line.isspace():
                continue
            try:
                row = self._row(line.decode("utf-8-sig" if number == 1 else "utf-8"), number)
                canonical = canonical_line(row)
            except _Refused as refused:
                self._note(number, refused)
            except UnicodeDecodeError:
                self._note(number, _malformed("the line is not UTF-8"))
            except ValueError as error:
                self._note(number, _malformed(str(error)))
            else:
                self.row_count += 1
                yield canonical

    def _row(self, line: str, number: int) -> Mapping[str, JsonValue]:
        try:
            row = read_line(line)
        except (ValueError, RecursionError) as error:
            raise _malformed(_reason(error)) from None
        if not isinstance(row, dict) or row.keys() != _KEY_SET:
            raise _wrong_keys(row)
        self._check_members(row, number)
        return row

    def _check_members(self, row: Mapping[str, JsonValue], number: int) -> None:
        custom_id, url = row["custom_id"], row["url"]
        if row["method"] != "POST":
            raise _Refused(
                "the method is not POST",
                key="method",
                value=row["method"],
                rule="requests are posted",
                remedy="write POST",
            )
        if not isinstance(url, str) or url not in OPERATION_OF_URL:
            raise _Refused(
                "the url is not one of the endpoints",
                key="url",
                value=url,
                rule=f"one of: {', '.join(OPERATION_OF_URL)}",
                remedy=did_you_mean(str(url), OPERATION_OF_URL, otherwise="choose one of these"),
            )
        model = _body_model(row["body"])
        self._check_common(url, model, number)
        self._check_custom_id(custom_id, number)

    def _check_custom_id(self, custom_id: JsonValue, number: int) -> None:
        if not isinstance(custom_id, str) or not custom_id:
            raise _Refused(
                "the custom_id is not a text",
                key="custom_id",
                value=custom_id,
                rule="each line has an id of its own",
                remedy="write one, in quotes",
            )
        first = self._line_of_id.setdefault(custom_id, number)
        if first != number:
            raise _Refused(
                f"the custom_id is that of line {first} too",
                key="custom_id",
                value=custom_id,
                rule="each line has an id of its own",
                remedy="rename one of the two",
            )

    def _check_common(self, url: str, model: str, number: int) -> None:
        if not self._first_line:
            self._first_line, self.url, self.model = number, url, model
        for key, seen, common in (("url", url, self.url), ("body.model", model, self.model)):
            if seen != common and not (key == "body.model" and self.any_model):
                raise _Refused(
                    f"the {key.removeprefix('body.')} differs from that of line {self._first_line}, {common}",
                    key=key,
                    value=seen,
                    rule="a batch file holds one endpoint and one model",
                    remedy="put these lines into a file of their own",
                )

    def _note(self, line: int, refused: _Refused) -> None:
        self._bad_count += 1
        if len(self._problems) < MAX_LISTED:
            shown = None if refused.value is None else shown_value(refused.value)
            self._problems.append(
                Problem(
                    what=refused.what,
                    file=self.file,
                    line=line,
                    key=refused.key,
                    value=shown,
                    rule=refused.rule,
                    remedy=refused.remedy,
                )
            )

    def refuse(self) -> None:
        """Raise DocumentError if a line was bad, or if there was none."""
        if not self._bad_count and not self.row_count:
            self._note(1, _Refused("the file holds no request", rule="a line is a request", remedy="write some"))
        if not self._bad_count:
            return
        unlisted = self._bad_count - len(self._problems)
        if unlisted:
            rest = Problem(
                what=f"and {unlisted:,} more bad lines",
                file=self.file,
                rule=f"the first {MAX_LISTED} are listed",
                remedy="correct these and validate again",
            )
            self._problems.append(rest)
        raise DocumentError(self._problems)


def _malformed(what: str) -> _Refused:
    return _Refused(what, rule="each line is one JSON object", remedy="write the line again, without line breaks in it")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"the line is not JSON: {error.msg} at column {error.colno}"
    return "the line is nested too deeply" if isinstance(error, RecursionError) else f"the line is not JSON: {error}"


def _wrong_keys(row: JsonValue) -> _Refused:
    rule = f"a line has exactly the keys {', '.join(_KEYS)}"
    if not isinstance(row, dict):
        return _Refused("the line is not an object", rule=rule, remedy="write each request as one object")
    missing, unknown = [key for key in _KEYS if key not in row], [key for key in row if key not in _KEY_SET]
    if unknown:
        remedy = did_you_mean(unknown[0], missing or _KEYS, otherwise="remove it")
        return _Refused(f"unknown key {unknown[0]!r}", key=unknown[0], rule=rule, remedy=remedy)
    return _Refused(f"the key {missing[0]!r} is missing", key=missing[0], rule=rule, remedy=f"add {missing[0]!r}")


def _body_model(body: JsonValue) -> str:
    """The model that a body names. Refuses a body that cannot be sent or that holds a credential."""
    if not isinstance(body, dict):
        raise _Refused("the body is not an object", key="body", rule="the body is the request", remedy="write it")
    for key in body:
        if is_credential((key,)):
            raise _Refused(
                "a credential stands in the body",
                key=f"body.{key}",
                rule="secrets stay in the environment",
                remedy="remove it and replace the key that was written here",
            )
    if body.get("stream"):
        raise _Refused(
            "the body asks for a stream", key="body.stream", rule="answers are not streamed", remedy="remove it"
        )
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _Refused(
            "the body names no model", key="body.model", value=model, rule="each body names its model", remedy="add it"
        )
    return model
