"""Several files as one table, in the order of their names: described at submission, and read one after the other.

Every file has its own digest, and the table's is that of theirs: a file that is added, removed or changed makes another
table, one that is renamed without changing the order does not. A problem names its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_jobs.documents.identity import hash_of
from llm_jobs.documents.job import FileFormat, Input
from llm_jobs.documents.table_sources import InputFile
from llm_jobs.sources.digest import digest_file


def described_files(urls: Sequence[str], *, pattern: str, form: FileFormat | None, types: Mapping[str, str]) -> Input:
    """The input that the files at `urls` are, read once for their digests. Raises DocumentError."""
    if len(urls) == 1:
        return Input(kind="file", url=urls[0], format=form, types=types, digest=digest_file(urls[0]))
    files = tuple(InputFile(url=url, digest=digest_file(url)) for url in urls)
    digest = hash_of([file.digest for file in files])
    return Input(kind="file", url=pattern, format=form, types=types, digest=digest, files=files)
