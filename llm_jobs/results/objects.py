"""Results in an S3 bucket: written to a local file, then put under their key on the condition that it is free.

The condition (`If-None-Match: *`) holds for single and for multipart puts. Servers that speak S3 and ignore it would
overwrite without a word, so the store tries the condition out before it trusts it with the first result.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO, cast

import s3fs
from botocore.exceptions import BotoCoreError

from llm_jobs import files
from llm_jobs.errors import ImmutableError, NotFound, SetupError
from llm_jobs.events import Listener, ResultLinked, ResultWritten
from llm_jobs.results.base import Draft
from llm_jobs.results.layout import epoch_of, is_result, job_of

PROBE = ".conditional-put"
PROBE_BYTES = b"Results are put on the condition that their key is free.\n"
TAKEN = frozenset({"PreconditionFailed", "412"})
RACED = frozenset({"ConditionalRequestConflict", "409"})  # another put of this key is under way: S3 says to repeat
RACED_TRIES = 5
WRITER = "llm-jobs-writer"


class ObjectStore:
    """A `ResultStore` under `url` (s3://bucket/prefix). Drafts lie in `scratch`. Credentials, endpoint: botocore's."""

    def __init__(self, url: str, *, scratch: Path | None, emit: Listener) -> None:
        self.url = url.rstrip("/")
        self._root = self.url.partition("://")[2]
        self._scratch = scratch or Path(gettempdir())
        self._emit = emit
        self._proven = False
        # Neither instances nor listings are shared: the endpoint is the environment's, and others write here too.
        self._fs = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)

    def draft(self, path: str) -> files.Draft:
        if self._fs.exists(self._key(path)):
            raise self._taken(path)
        return files.Draft(self._scratch / f"{secrets.token_hex(8)}-{path.replace('/', '-')}")

    def keep(self, draft: Draft, path: str) -> None:
        draft.sync()
        self._emit(ResultWritten(job_of(path)))
        try:
            self._prove_condition()
            self._put(draft.path, path)
        except (OSError, BotoCoreError) as error:
            raise SetupError(
                f"{self.locate(path)} cannot be written: {error}; check the bucket, the credentials and the endpoint"
            ) from error
        finally:
            draft.discard()
        self._emit(ResultLinked(job_of(path), path))

    def open(self, path: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self._fs.open(self._key(path), "rb"))
        except FileNotFoundError:
            raise NotFound(f"no result {path} in {self.url}") from None

    def paths(self, job_hash: str) -> list[str]:
        try:
            keys = self._fs.ls(self._key(job_hash), detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (key.rpartition("/")[2] for key in keys)
        return sorted((f"{job_hash}/{name}" for name in names if is_result(name)), key=epoch_of)

    def locate(self, path: str) -> str:
        return f"{self.url}/{path}"

    def relative(self, location: str) -> str:
        return location.removeprefix(self.url).lstrip("/")

    def _key(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _put(self, local: Path, path: str) -> None:
        """One conditional put, multipart where the file is large. Raises ImmutableError where the key is taken."""
        token = secrets.token_hex(16)
        for _ in range(RACED_TRIES):
            try:
                self._fs.put_file(str(local), self._key(path), mode="create", Metadata={WRITER: token})
            except OSError as error:
                if _code(error) in RACED:
                    continue
                if not _is_taken(error):
                    raise
                # The answer to our own put may have been lost, and the client have repeated it.
                if self._writer_of(path) != token:
                    raise self._taken(path) from None
            return
        raise self._taken(path)

    def _writer_of(self, path: str) -> str | None:
        metadata = self._fs.metadata(self._key(path), refresh=True)
        return next((value for name, value in metadata.items() if name.replace("_", "-") == WRITER), None)

    def _prove_condition(self) -> None:
        """Raise SetupError if the server takes a second conditional put of one key."""
        for _ in range(2):
            if not self._proven:
                self._proven = self._probe_is_refused()
        if not self._proven:
            raise SetupError(
                f"the server behind {self.url} ignores `If-None-Match: *` and would overwrite results; "
                "use a server that honours conditional puts, or a local folder"
            )

    def _probe_is_refused(self) -> bool:
        try:
            self._fs.pipe_file(self._key(PROBE), PROBE_BYTES, mode="create")
        except OSError as error:
            if _is_taken(error):
                return True
            raise
        return False

    def _taken(self, path: str) -> ImmutableError:
        return ImmutableError(
            f"{self.locate(path)} exists already and is not overwritten: results are written once; "
            "a correction is a new result under a new epoch"
        )


def _code(error: OSError) -> str | None:
    """The S3 error code behind an error of s3fs."""
    response = getattr(error.__cause__, "response", None)
    return response["Error"].get("Code") if isinstance(response, dict) else None


def _is_taken(error: OSError) -> bool:
    return isinstance(error, FileExistsError) or _code(error) in TAKEN
