"""A file as text: plain text, Markdown, HTML, PDF. Only from the allowed folders."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path

from llm_jobs.errors import RowError, SetupError
from llm_jobs.importing import imported
from llm_jobs.tasks.base import OWN, Surroundings, Task, Values

MOST_BYTES = 64 * 1024 * 1024
_SILENT = frozenset({"script", "style", "head", "template", "noscript"})
_BLOCK = re.compile(  # begins a paragraph of its own
    r"address|article|aside|blockquote|br|dd|div|dl|dt|fieldset|figure|footer|form|h[1-6]|header|hr|li|main|nav|ol|p|pre"
    r"|section|table|tr|ul"
)


class LoadDocument(Task):
    """A relative path is looked for in the allowed folders in order. The file's content is read when the row is."""

    name = "load_document"
    aliases = ("read_document",)
    category = "data"
    description = "The text of a file: .txt, .md, .html, .pdf (the extra `pdf`), and other text in UTF-8."
    inputs = {"path": {"type": "string", "minLength": 1}}
    outputs = {OWN: {"type": "string"}}
    example = {"path": "note.md"}
    slow = True

    def run(self, inputs: Values, surroundings: Surroundings) -> Values:
        path = _inside(str(inputs["path"]), surroundings)
        if path.stat().st_size > MOST_BYTES:
            raise RowError(f"load_document: {path.name} is larger than {MOST_BYTES // 1024**2} MiB; divide it")
        read = _READERS.get(path.suffix.lower(), _plain)
        return {OWN: read(path.read_bytes(), path.name)}


def _inside(named: str, surroundings: Surroundings) -> Path:
    """The file's real path. Raises RowError for one that is not there, or outside the allowed folders."""
    roots = [root.resolve() for root in surroundings.roots]
    if "\0" not in named:
        for path in [(root / named).resolve() for root in roots]:
            if path.is_file() and any(path.is_relative_to(root) for root in roots):
                return path
    folders = ", ".join(str(root) for root in roots)
    raise RowError(
        f"load_document: there is no file {named!r} in the allowed folders ({folders}); "
        "put it there, or name its folder in LLM_JOBS_ALLOWED_ROOTS"
    )


def _plain(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RowError(f"load_document: {name} is no text in UTF-8 (byte {error.start}); convert it") from None


def _html(content: bytes, name: str) -> str:
    reader = _TextOfHtml()
    reader.feed(_plain(content, name))
    reader.close()
    return reader.text()


def _pdf(content: bytes, name: str) -> str:
    try:
        # 0.2 s, for those alone who read PDF; and an extra.
        pypdf = imported("pypdf")
    except ImportError:
        raise SetupError("reading PDF needs pypdf: pip install 'llm-jobs[pdf]'") from None
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError) as error:
        raise RowError(f"load_document: {name} cannot be read as PDF: {error}") from None
    return "\n\n".join(text.strip() for text in pages if text.strip())


_READERS: Mapping[str, Callable[[bytes, str], str]] = {".html": _html, ".htm": _html, ".xhtml": _html, ".pdf": _pdf}


class _TextOfHtml(HTMLParser):
    """The words of a page: blocks become paragraphs, white space within them one space."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[list[str]] = [[]]
        self._silent = 0

    def text(self) -> str:
        blocks = (" ".join("".join(parts).split()) for parts in self._blocks)
        return "\n\n".join(block for block in blocks if block)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        self._part(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        self._part(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._blocks[-1].append(data)

    def _part(self, tag: str) -> None:
        if _BLOCK.fullmatch(tag) and self._blocks[-1]:
            self._blocks.append([])
        elif tag in ("td", "th"):
            self._blocks[-1].append(" ")
