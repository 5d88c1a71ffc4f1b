"""A private PostgreSQL + PostGIS cluster in a folder, for machines where none is configured.

PostgreSQL refuses to run as root, so root hands the data folder to the `postgres` user of the
distribution's package and starts the server as that user; when the folder lies below one that this
user can't enter (a private temporary folder, say), the server keeps the one capability it needs to
get there. It listens on loopback only, on a port and with a password of its own.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import psycopg
from psycopg import sql

from pavemap.geo.errors import Unavailable

log = logging.getLogger(__name__)

SERVER_USER = "postgres"
ROLE = "pavemap"
INSTALL_ADVICE = (
    "install PostgreSQL with PostGIS (Debian, Ubuntu: apt-get install postgresql-postgis)"
)
START_TIMEOUT_S = 60
CONNECT_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
PORT_LINE = 3
"""Of postmaster.pid, from 0."""


class PrivatePostgres:
    """A cluster in `folder`: started on demand, found again by any later process."""

    def __init__(self, folder: Path, *, options: Mapping[str, str] | None = None) -> None:
        """Take a folder (made when missing) and server options such as {"fsync": "off"}."""
        self.folder = folder.absolute()  # its programs run in /
        self.options = dict(options or {})
        self.data = self.folder / "data"

    def start(self, database: str = "pavemap") -> str:
        """Start the server unless it runs, make the database unless it is there, return its URL.

        Raises Unavailable when PostgreSQL is not installed or does not start.
        """
        with self._lock() as lock:
            if not self._answers_soon():
                if not (self.data / "PG_VERSION").exists():
                    self._initialise(lock)
                self._launch()
            self._ensure_database(database)
        return self.url(database)

    def stop(self) -> None:
        """Stop the server if it runs; sessions are cut off and roll back."""
        with self._lock():
            if self.alive():
                self._run(
                    [self._program("pg_ctl"), "-D", str(self.data), "-m", "fast", "-w", "stop"]
                )

    def running(self) -> bool:
        """Tell whether this cluster's server answers."""
        if not (self.data / "postmaster.pid").exists():
            return False
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def alive(self) -> bool:
        """Tell whether the server's process is there, answering or not; cheap enough to ask often."""
        try:
            number = int((self.data / "postmaster.pid").read_text().split()[0])
            os.kill(number, 0)
        except PermissionError:
            return True
        except (OSError, ValueError, IndexError):
            return False
        return _is_postgres(number)  # after a crash of the machine another may have its number

    def url(self, database: str = "pavemap") -> str:
        """Return the URL of a database of this cluster."""
        password = (self.folder / "password").read_text().strip()
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{self._last_port()}/{database}"

    def _answers_soon(self) -> bool:
        """Wait while the server lives but takes no connection: it recovers, or all its places are taken."""
        end = time.monotonic() + START_TIMEOUT_S
        while not self.running():
            if not self.alive() or time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def _initialise(self, lock: TextIO) -> None:
        """Make the cluster beside its place: PG_VERSION is among the first files that initdb writes."""
        log.info("making a private PostgreSQL cluster in %s", self.data)
        program = self._program("initdb")
        unfinished = self.folder / "data.new"
        for rest in (unfinished, self.data):  # of attempts that were interrupted
            if rest.exists():
                shutil.rmtree(rest)
        unfinished.mkdir(mode=0o700)
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_hex(16))
        (self.folder / "log").touch(mode=0o600)
        if os.geteuid() == 0:
            server = pwd.getpwnam(SERVER_USER)
            for path in (unfinished, password_file, self.folder / "log"):
                os.chown(path, server.pw_uid, server.pw_gid)
        self._run(
            [program, "-D", str(unfinished), "-U", ROLE, "--encoding=UTF8"]
            + ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_file}"],
            holding=lock,
        )
        unfinished.rename(self.data)

    def _launch(self) -> None:
        port = _free_port(self._last_port())
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            **self.options,
        }
        flags = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in settings.items())
        self._run(
            [self._program("pg_ctl"), "-D", str(self.data), "-l", str(self.folder / "log")]
            + ["-t", str(START_TIMEOUT_S), "-w", "-o", flags, "start"]
        )
        self._remember(port)

    def _remember(self, port: int) -> None:
        file = self.folder / "port"
        # Written in place, a full disk would cost the port that clients know.
        unfinished = file.with_suffix(".new")
        unfinished.write_text(str(port))
        unfinished.replace(file)

    def _last_port(self) -> int:
        """Return the server's port, else that of its last start, which clients know; 0 before the first."""
        with suppress(OSError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text().splitlines()[PORT_LINE])
        with suppress(OSError, ValueError):
            return int((self.folder / "port").read_text())
        return 0

    def _ensure_database(self, database: str) -> None:
        with self._connected() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if known.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def _connected(self) -> psycopg.Connection:
        """Connect, again where another session was faster to take the last place. Raises Unavailable."""
        for pause_s in CONNECT_PAUSES_S:
            with suppress(psycopg.OperationalError):
                return psycopg.connect(self.url("postgres"), autocommit=True)
            time.sleep(pause_s)
        try:
            return psycopg.connect(self.url("postgres"), autocommit=True)
        except psycopg.OperationalError as exc:
            raise Unavailable(
                f"the private PostgreSQL takes no connection ({exc}); see {self.folder / 'log'}"
            ) from exc

    def _run(self, command: Sequence[str], *, holding: TextIO | None = None) -> None:
        """Run a program; one that outlives this process keeps the lock that it is `holding`."""
        command = [*self._as_server_user(), *command]
        # The server inherits its starter's output: a pipe would never see its end.
        output = self.folder / "commands.log"
        with output.open("ab") as sink:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd="/",
                check=False,
                pass_fds=() if holding is None else (holding.fileno(),),
            )
        if done.returncode:
            raise Unavailable(
                f"'{' '.join(command[-3:])}' failed; the reason stands at the end of {output} "
                f"or {self.folder / 'log'}"
            )

    def _as_server_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        server = pwd.getpwnam(SERVER_USER)
        prefix = [
            "setpriv",
            f"--reuid={server.pw_uid}",
            f"--regid={server.pw_gid}",
            "--init-groups",
        ]
        if not _can_enter(self.folder, server):
            prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        return prefix

    def _program(self, name: str) -> str:
        version = self.data / "PG_VERSION"  # a cluster's files are those of one version
        made_by = version.read_text().strip() if version.exists() else ""
        candidates = sorted(
            Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
            key=lambda path: (path.parts[-3] == made_by, float(path.parts[-3])),
            reverse=True,
        )
        found = str(candidates[0]) if candidates else shutil.which(name)
        if found is None:
            raise Unavailable(f"no {name} on this machine; {INSTALL_ADVICE}")
        return found

    @contextmanager
    def _lock(self) -> Iterator[TextIO]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle


def _is_postgres(number: int) -> bool:
    name = Path(f"/proc/{number}/comm")
    try:
        return not name.exists() or "postgres" in name.read_text()
    except OSError:  # it ended between the two
        return False


def _free_port(preferred: int) -> int:
    """Return a port that is free now: the preferred one if it is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _can_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    for parent in (folder, *folder.parents):
        status = parent.stat()
        if status.st_uid == user.pw_uid:
            bit = 0o100
        elif status.st_gid in groups:
            bit = 0o010
        else:
            bit = 0o001
        if not status.st_mode & bit:
            return False
    return True
