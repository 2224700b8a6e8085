"""Names of several files at once: whether a text is a pattern, and what it fits in a store behind a URL."""

from __future__ import annotations

import re

from llm_jobs.errors import SetupError

_SIGNS = re.compile(r"[*?\[]")


def is_pattern(name: str) -> bool:
    """Whether `name` has a sign that a pattern has. A `?` of a web address is none: it begins the query."""
    return _SIGNS.search(name.partition("?")[0] if name.startswith(("http://", "https://")) else name) is not None


def glob_url(pattern: str) -> list[str]:
    """The URLs that a pattern fits, sorted. Raises SetupError where the store cannot be listed."""
    import fsspec.core  # 50 ms, for what is no path

    try:
        filesystem, path = fsspec.core.url_to_fs(pattern)
        found = filesystem.glob(path)
    except (OSError, ImportError, ValueError) as error:
        raise SetupError(
            f"{pattern} cannot be listed: {error}; check the URL, the permissions and the server"
        ) from None
    return sorted(str(filesystem.unstrip_protocol(each)) for each in found)
