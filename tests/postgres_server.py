"""A real PostgreSQL server for tests, on a Unix socket in a folder of its own; started once."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from godwit.store.postgres import HOSTS_KEY, Server, ServerConnection
from godwit.store.tables import metadata
from godwit.store.upgrade import upgrade

USER: Final = "postgres"
"""PostgreSQL refuses to run as root: then it runs as this user, whom its package makes."""
MISSING: Final = "PostgreSQL's programs are not installed here (tools/set-up installs them)"
START_TRIES: Final = 1_200
MEMORY: Final = Path("/dev/shm")
ROOM_BYTES: Final = 2**30
SEQUENCES: Final = ("migrations_id_seq", "stories_number_seq", "debts_number_seq")


def programs() -> Path | None:
    """Where `initdb` and `postgres` are, in the newest version; None: nowhere."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if installed:
        return installed[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@dataclass
class PostgresServer:
    """One that runs. Each test takes a database of its own."""

    folder: Path
    command: list[str]
    user: dict[str, Any]
    process: "subprocess.Popen[bytes]" = field(init=False)
    count: int = 0
    tables: Server | None = None
    cleaner: ServerConnection | None = None

    def url(self, database: str, **settings: str) -> str:
        """As Godwit's settings name it."""
        more = "".join(f"&{name}={value}" for name, value in settings.items())
        return f"postgresql:///{database}?host={self.folder}&user={USER}{more}"

    def administer(self, statement: str) -> None:
        """Run one statement that no program of ours would."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def database(self) -> Server:
        """A database without tables, never used before."""
        self.count += 1
        self.administer(f"CREATE DATABASE test_{self.count}")
        return Server(self.url(f"test_{self.count}"))

    def store(self) -> Server:
        """A database with empty tables: whoever had it before must have closed it."""
        if self.tables is None:
            self.tables = self.database()
            with closing(self.tables.open_for_upgrade()) as connection:
                upgrade(connection, self.tables.name)
        emptied = [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]
        emptied += [f"SELECT setval('{name}', 1, false)" for name in SEQUENCES]
        if self.cleaner is None or self.cleaner.is_lost():
            self.cleaner = self.tables.connect()
        self.until_let_go()
        self.cleaner.execute("; ".join(emptied))  # ten times quicker than to truncate
        return self.tables

    def until_let_go(self) -> None:
        """Nobody acts on hosts with what `store` gave: the server notices a moment later that a
        process has gone.
        """
        assert self.cleaner is not None
        self.cleaner.execute(f"SELECT pg_advisory_lock({HOSTS_KEY})")
        self.cleaner.execute(f"SELECT pg_advisory_unlock({HOSTS_KEY})")

    def stop(self) -> None:
        """End it at once, as a crash does: what was not on its disk is lost."""
        if self.cleaner is not None:
            self.cleaner.close()
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=30)

    def start(self) -> None:
        """Begin, or begin again where it was stopped."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, **self.user
            )
        for left in reversed(range(START_TRIES)):
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if not left:
                    raise
                signal.sigtimedwait([], 0.05)
            else:
                return


@contextmanager
def running(*settings: str, durable: bool = False) -> Iterator[PostgresServer]:
    """A server with these settings, quick rather than safe; or `durable`, on a disk, as shipped."""
    where = programs()
    if where is None:
        raise FileNotFoundError(MISSING)
    place = None if durable else _quickest()
    folder = Path(tempfile.mkdtemp(prefix="godwit-postgres-", dir=place))
    try:
        user = _owned_by_its_user(folder)
        data = folder / "data"
        made: list[str] = [str(where / "initdb"), "-D", str(data), "-U", USER, "--no-sync"]
        made += ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=60, **user)
        quick = [
            "fsync=off",
            "full_page_writes=off",
            "wal_writer_delay=10s",
            "max_wal_size=64MB",
        ]
        always = ["dynamic_shared_memory_type=mmap", "max_connections=60", "listen_addresses="]
        names = (*always, *(() if durable else quick), *settings)
        given = [each for name in names for each in ("-c", name)]
        command = [str(where / "postgres"), "-D", str(data), "-k", str(folder), *given]
        server = PostgresServer(folder, command, user)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quickest() -> Path | None:
    """In memory, if there is room for it and its log."""
    free = shutil.disk_usage(MEMORY).free if MEMORY.is_dir() else 0
    return MEMORY if free > ROOM_BYTES else None


def _owned_by_its_user(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(USER)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _version(path: Path) -> int:
    return int(path.parent.parent.name)
