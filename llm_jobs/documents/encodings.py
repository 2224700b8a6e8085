"""What the bytes of a file are that is no text in UTF-8, told by how they begin."""

from __future__ import annotations

_SAVE = "save the file as UTF-8"
# How it begins, what it is, what to do. UTF-32 begins as UTF-16 does, with zeros behind.
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\xfe\x00\x00", "the file is UTF-32", _SAVE),
    (b"\xff\xfe", "the file is UTF-16", _SAVE),
    (b"\xfe\xff", "the file is UTF-16", _SAVE),
    (b"\x1f\x8b", "the file is compressed by gzip", "decompress it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "the file is compressed by zstd", "decompress it with unzstd"),
    (b"PK\x03\x04", "the file is a ZIP archive, or a spreadsheet", "take the document out of it, or export it as CSV"),
    (b"PAR1", "the file is a table in Parquet", "write a document that names it: `input: {path: …}`"),
    (b"%PDF", "the file is a PDF", "write the document as YAML or JSON"),
    (b"\x89PNG", "the file is a picture", "write a document that names it"),
    (b"\xff\xd8\xff", "the file is a picture", "write a document that names it"),
)
_LOOKED_AT = 4096


def other_kind(content: bytes) -> tuple[str, str] | None:
    """What the bytes are, and the remedy; None for what may be text in UTF-8."""
    for beginning, what, remedy in _BEGINNINGS:
        if content.startswith(beginning):
            return what, remedy
    if b"\x00" in content[:_LOOKED_AT]:
        return "the file holds zero bytes, as UTF-16 and what is no text do", _SAVE
    return None
