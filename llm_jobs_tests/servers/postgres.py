"""A real PostgreSQL on a free loopback port, made by initdb, gone with its data when the `with` block ends."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_USER = "tester"


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresServer:
    """A running server. `url` names its default database; `create_database` makes an empty one and returns its URL."""

    port: int
    binaries: Path
    data: Path

    @property
    def url(self) -> str:
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"

    def create_database(self, name: str) -> str:
        command = [str(self.binaries / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", _USER, name]
        subprocess.run(command, check=True, capture_output=True)
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{name}"

    def stop(self, *, mode: str = "immediate") -> None:
        _control(self.binaries, self.data, ["-m", mode, "-w", "stop"])

    def start(self) -> None:
        _start(self.binaries, self.data, self.port)


@contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[PostgresServer]:
    """Start a server and stop it. `fsync` off: the tests do not pull the plug, and it is three times as fast."""
    binaries = _binaries()
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        _give_to_server(Path(folder))
        options = ["-A", "trust", "-U", _USER, "-E", "UTF8", "--no-locale", *([] if fsync else ["--no-sync"])]
        _run_as_server([str(binaries / "initdb"), "-D", str(data), *options])
        server = PostgresServer(port=_free_port(), binaries=binaries, data=data)
        _configure(data, fsync=fsync)
        server.start()
        try:
            yield server
        finally:
            _control(binaries, data, ["-m", "immediate", "-w", "stop"], check=False)


def _configure(data: Path, *, fsync: bool) -> None:
    settings = {
        "fsync": "on" if fsync else "off",
        "listen_addresses": "'127.0.0.1'",
        "unix_socket_directories": "''",
        "max_connections": "200",
        "shared_buffers": "32MB",
        "log_min_messages": "panic",
    }
    with (data / "postgresql.auto.conf").open("a", encoding="ascii") as file:
        file.writelines(f"{name} = {value}\n" for name, value in settings.items())


def _start(binaries: Path, data: Path, port: int) -> None:
    _control(binaries, data, ["-o", f"-p {port}", "-l", str(data.parent / "log"), "-w", "-t", "60", "start"])


def _control(binaries: Path, data: Path, arguments: Sequence[str], *, check: bool = True) -> None:
    _run_as_server([str(binaries / "pg_ctl"), "-D", str(data), *arguments], check=check)


def _binaries() -> Path:
    """The newest installed server's folder; distributions keep it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise FileNotFoundError("initdb is not installed: apt-get install postgresql")
    return Path(on_path).resolve().parent


def _run_as_server(command: Sequence[str], *, check: bool = True) -> None:
    """Run as an ordinary user: PostgreSQL refuses to be root."""
    user = "nobody" if os.geteuid() == 0 else None
    done = subprocess.run(command, user=user, check=False, capture_output=True, text=True, cwd="/")
    if check and done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")


def _give_to_server(folder: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
