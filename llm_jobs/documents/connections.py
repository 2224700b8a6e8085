"""Connections to databases by name, and hosts that documents may name: one rule for inputs and for outputs.

A document names a connection (`connection: warehouse`), or writes a URL whose credentials are names
(`postgresql://ann:${WAREHOUSE_PASSWORD}@db.example/shop`), or the path of an SQLite file. What a name means stands in
the variable LLM_JOBS_CONNECTION_<NAME>, which holds the URL, or in `connections.yaml` of the home folder
(`warehouse: postgresql://ann:${WAREHOUSE_PASSWORD}@db.example/shop`), the variable first.

Invariant: no credential stands in a document or in the file; the URL with credentials exists from `resolve_connection`
to the connection only, and `public_form` and `masked` are what may be shown or hashed. Nothing here connects.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from llm_jobs.documents.text import CREDENTIAL_KEYS, decode
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.documents.variables import credential_name
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import SetupError

CONNECTIONS_FILE = "connections.yaml"
DEFAULT_CONNECTION = "default"
HOSTS_VARIABLE = "LLM_JOBS_ALLOWED_HOSTS"
MASK = "***"
_PREFIX = "LLM_JOBS_CONNECTION_"
_MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_QUERY = re.compile(rf"(?i)([?&][^=&]*(?:pass|{'|'.join(sorted(CREDENTIAL_KEYS))})[^=&]*=)[^&]*")
_OPTIONS = frozenset({"application_name", "connect_timeout", "mode", "sslmode", "timeout"})
# The driver that this project brings, where a URL names none.
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def resolve_connection(
    name_or_url: str,
    *,
    environment: Mapping[str, str],
    home: Path,
    allowed_hosts: Collection[str] = (),
    roots: Iterable[Path] = (),
) -> str:
    """The URL with its credentials, for SQLAlchemy. Not to be shown, logged, hashed or stored.

    A relative SQLite path is one in the project of the home folder. A URL that stands in the document itself leads to a
    host of `allowed_hosts` or a file below the home folder, its project or `roots`; what a name stands for may lead
    anywhere. Raises SetupError without a credential in its message.
    """
    if is_name(name_or_url):
        return _with_driver(_named(name_or_url, environment, home), home)
    if (variable := credential_name(name_or_url)) is not None:
        return _with_driver(_value(variable, environment, name_or_url), home)
    refuse_written_password(name_or_url, where="the document")
    _check_options(name_or_url)
    url = _with_driver(_filled(name_or_url, environment), home)
    if url.startswith("sqlite"):
        _check_file(url, home, roots)
    else:
        check_host(url, allowed=allowed_hosts)
    return url


def is_name(text: str) -> bool:
    """Whether `text` is a connection's name, and neither a URL nor a path."""
    return _NAME.fullmatch(text) is not None


def public_form(text: str) -> str:
    """What may be shown and hashed of a connection as a document writes it: a name as it is, a URL without its user,
    password and queries named like credentials."""
    scheme, _, rest = _parts(text)
    address, question, query = rest.partition("?")
    kept = "&".join(item for item in query.split("&") if item and not _SECRET_QUERY.match("?" + item))
    return f"{scheme}{address}{question and kept and f'?{kept}'}" if scheme else text


def masked(url: str) -> str:
    """`url` with `***` in the place of its password and of queries named like credentials."""
    scheme, user, rest = _parts(url)
    name, colon, _ = user.partition(":")
    shown = f"{name}{colon and f':{MASK}'}@" if user else ""
    return _SECRET_QUERY.sub(rf"\g<1>{MASK}", f"{scheme}{shown}{rest}") if scheme else url


def written_password(url: str) -> bool:
    """Whether a password, or a query named like one, stands in `url` itself instead of a variable's name."""
    _, user, rest = _parts(url)
    password = user.partition(":")[2]
    queries = (match[0].partition("=")[2] for match in _SECRET_QUERY.finditer(rest))
    return any(text and _REFERENCE.fullmatch(text) is None for text in (password, *queries))


def _parts(url: str) -> tuple[str, str, str]:
    """The scheme with `://`, the user's part without `@`, and the rest. A password may hold any sign, so that all that
    stands before the last `@` is taken for the user's part: rather too much is hidden than too little."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "", "", url
    user, _, rest = rest.rpartition("@")
    return scheme + separator, user, rest


def refuse_written_password(url: str, *, where: str) -> None:
    """Raise SetupError where a password stands in `url`."""
    if written_password(url):
        raise SetupError(
            f"a password stands in the connection {public_form(url)} of {where}; secrets stay in the environment: "
            "write ${NAME} in its place, set the variable NAME, and replace the password that was written here"
        )


def check_host(url: str, *, allowed: Collection[str]) -> None:
    """Raise SetupError unless the host of `url` is listed: `host` for every port, or `host:port`; `s3://bucket` for
    what is in a bucket."""
    parts = urlsplit(url)
    try:
        if set(_parts(url)[1]) & set("/?#"):
            raise ValueError("programs differ about where the host of such a URL begins")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port = "", None
    if not host:
        raise SetupError(f"{public_form(url)} names no host: write it as scheme://host/path")
    stated = f"[{host}]" if ":" in host else host
    names = {host, stated, f"{stated}:{port or _default_port(parts.scheme)}"}
    if _default_port(parts.scheme) is None:  # a bucket is no host, though it stands where one does
        names = {f"{parts.scheme}://{host}"}
        stated = f"{parts.scheme}://{host}"
    if not names & {name.lower().rstrip("/") for name in allowed}:
        listed = ", ".join(sorted(allowed)) or "none"
        raise SetupError(
            f"{stated} may not be reached from documents; allowed are: {listed}; add it to the environment "
            f"variable {HOSTS_VARIABLE} (`host`, `host:port` or `s3://bucket`, separated by commas), or remove it here"
        )


def _default_port(scheme: str) -> int | None:
    return {"http": 80, "https": 443}.get(scheme, 5432 if scheme.startswith("postgresql") else None)


def _named(name: str, environment: Mapping[str, str], home: Path) -> str:
    variable = _PREFIX + name.upper().replace("-", "_")
    if stated := environment.get(variable):
        return stated
    known = _connections(home / CONNECTIONS_FILE)
    if name not in known:
        hint = did_you_mean(name, known, otherwise="write it in one of the two")
        raise SetupError(
            f"no connection is named {name!r}; a connection is a URL in the variable {variable} or in "
            f"{home / CONNECTIONS_FILE}, which has {', '.join(sorted(known)) or 'none'}; {hint}"
        )
    url = known[name]
    if (reference := credential_name(url)) is not None:
        return _value(reference, environment, name)
    refuse_written_password(url, where=CONNECTIONS_FILE)
    return _filled(url, environment)


def _connections(file: Path) -> dict[str, str]:
    """The connections of the file, none where there is no file. Raises DocumentError or SetupError."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return {}
    value = read_yaml(str(file), decode(str(file), content, max_bytes=_MAX_BYTES)).value
    if not isinstance(value, dict) or not all(isinstance(url, str) for url in value.values()):
        raise SetupError(f"{file} holds no connections: write one `NAME: postgresql://user:${{PASSWORD}}@host/db` each")
    return {name: str(url) for name, url in value.items()}


def _filled(url: str, environment: Mapping[str, str]) -> str:
    """`url` with its references filled in, percent-encoded so that no sign of a password reads as part of the URL."""
    return _REFERENCE.sub(lambda match: quote(_value(match[1], environment, public_form(url)), safe=""), url)


def _value(variable: str, environment: Mapping[str, str], connection: str) -> str:
    if value := environment.get(variable):
        return value
    raise SetupError(f"the connection {connection} needs the variable {variable}, which is not set; set it")


def _with_driver(url: str, home: Path) -> str:
    """The URL as SQLAlchemy takes it; SQLite files as absolute paths."""
    if "://" not in url:
        return f"sqlite:///{(home.parent / url).resolve()}"
    scheme, _, rest = url.partition("://")
    if not rest.strip("/"):
        raise SetupError(f"the connection {public_form(url)} names no database; write its path, or its host and name")
    if scheme.partition("+")[0] == "sqlite":
        path, question, query = rest.removeprefix("/").partition("?")
        return f"{scheme}:///{(home.parent / path).resolve()}{question}{query}"
    return f"{_DRIVERS.get(scheme, scheme)}://{rest}"


def _check_options(url: str) -> None:
    """Options of a URL in a document: none that leads to another host or file."""
    for name, _ in parse_qsl(urlsplit(url).query if "://" in url else "", keep_blank_values=True):
        if name.lower() not in _OPTIONS and not _SECRET_QUERY.match(f"?{name}="):
            raise SetupError(
                f"the option {name!r} of the connection {public_form(url)} is not taken from documents; taken are "
                f"{', '.join(sorted(_OPTIONS))}; remove it, or name the connection in {CONNECTIONS_FILE}"
            )


def _check_file(url: str, home: Path, roots: Iterable[Path]) -> None:
    path = Path(url.partition(":///")[2].partition("?")[0])
    if not any(path.is_relative_to(root.resolve()) for root in (home, home.parent, *roots)):
        raise SetupError(
            f"the database {path} lies outside the allowed folders: the home folder, its project and "
            "LLM_JOBS_ALLOWED_ROOTS; move it, add its folder there, or name it as a connection"
        )
