"""Delivers a result to an object behind an fsspec URL (s3://bucket/key), put on the condition that its key is free.

As with files, nothing is overwritten, and an object that holds the same bytes already is the delivery. Where a store
cannot put on a condition, what another writer puts between the look and the put is lost; S3 can. Credentials and
endpoint are those that the store's own client finds in the environment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import fsspec
from fsspec.core import url_to_fs

from llm_jobs.deliveries.encoding import CHUNK_BYTES, Measured, encode
from llm_jobs.deliveries.files import occupied
from llm_jobs.deliveries.subject import Delivered, Subject
from llm_jobs.documents.destinations import FileOutput
from llm_jobs.errors import DeliveryError, SetupError

_ClientError: type[Exception] = OSError
with suppress(ImportError):  # the client of S3 is an extra
    from botocore.exceptions import BotoCoreError

    _ClientError = BotoCoreError


def deliver(result: BinaryIO, output: FileOutput, subject: Subject) -> Delivered:
    """Put `result` under the URL that `output` names, in its format. By way of a temporary file.

    Raises ImmutableError where another object is there, SetupError where the store's client is not installed,
    DeliveryError where the store cannot be reached or refuses.
    """
    url = subject.filled(output.path)
    with _told(url), TemporaryDirectory(prefix="llm-jobs-") as folder:
        local = Path(folder) / "result"
        with local.open("wb") as file:
            measured = Measured(file)
            rows = encode(result, measured, output, subject)
        is_new = _put(local, url, measured.sha256)
    return Delivered(destination=url, rows=rows, is_new=is_new, sha256=measured.sha256, size_bytes=measured.size_bytes)


def _put(local: Path, url: str, sha256: str) -> bool:
    """Put the file; False where its bytes are there already. An answer that was lost reads as one that was taken."""
    store, key = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
    is_new = not store.exists(key)
    if is_new:
        try:
            store.put_file(str(local), key, mode="create")
        except OSError as error:
            if not _is_taken(error):
                raise
    if _digest(store, key) != sha256:
        raise occupied(url)
    return is_new


def _digest(store: fsspec.AbstractFileSystem, key: str) -> str:
    digest = hashlib.sha256()
    with store.open(key, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _is_taken(error: OSError) -> bool:
    response: Any = getattr(error.__cause__, "response", None)
    code = response["Error"].get("Code") if isinstance(response, dict) else None
    return isinstance(error, FileExistsError) or code in {"PreconditionFailed", "412", "ConditionalRequestConflict"}


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Errors of the store in words of the project."""
    try:
        yield
    except ImportError as error:
        remedy = "for S3: pip install 'llm-jobs[s3]'"
        raise SetupError(f"{url} needs a client that is not installed ({error}); {remedy}") from None
    except (OSError, ValueError, _ClientError) as error:
        raise DeliveryError(
            f"{url} cannot be written: {error}; check the bucket, the credentials and the endpoint"
        ) from error
