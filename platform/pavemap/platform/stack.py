"""Runs everything on this machine: a private PostGIS, Ray Serve and the API, watched and restarted."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pavemap.geo.errors import Conflict, Unavailable
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import make_engine
from pavemap.geo.store.schema import upgrade
from pavemap.platform.child_process import (
    Child,
    answers,
    dies_with_parent,
    last_words,
    launch,
    no_proxy_here,
    wait_for_end,
)
from pavemap.platform.private_postgres import PrivatePostgres
from pavemap.platform.settings import Settings
from pavemap.platform.stored_imagery import check_storage
from pavemap.serving.listening import free_port, is_free, reachable

log = logging.getLogger(__name__)

START_LIMIT_S = 900.0
"""On a busy machine Ray takes minutes to start; what lives and is not ready by then hangs."""
SAID_EVERY_S = 60.0
"""How often it is said what is waited for."""
STOP_TIMEOUT_S = 30.0
POLL_S = 0.3

GRACE = ("--timeout-graceful-shutdown", "15")
"""Streams of logs that are still open must not hold up the end."""

MAX_RESTARTS = 4
"""A child that ends more often than this is broken, not unlucky."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Addresses:
    """Where the parts of a running stack answer."""

    api: str
    detector: str
    ray_dashboard: str
    database: str
    """Without user and password."""
    logs: Path


class Stack(AbstractContextManager["Stack"]):
    """What `pavemap up` runs. Entering starts all parts and waits for the API; leaving ends them.

    What the settings name (a database, a Ray cluster) is used, everything else is started. Once it
    was ready, a part that dies is reported and restarted; after MAX_RESTARTS the stack has `failed`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        serving_args: Mapping[str, Any] | None = None,
        fresh: bool = False,
        report: Report = log.info,
    ) -> None:
        """Take settings, arguments of the Serve application, and who hears what happens.

        `fresh` removes what an earlier run left in the settings' home: its private database and that
        one's storage. What lies elsewhere is never touched.
        """
        self.settings = settings
        self._fresh = fresh
        self.failed = threading.Event()
        logs = {"log_level": settings.log_level, "log_json": settings.log_format == "json"}
        self._serving_args = {**logs, **(serving_args or {})}
        self._report = report
        self._children: list[Child] = []
        self._cluster: PrivatePostgres | None = None
        self._cluster_restarts = 0
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._work = ExitStack()

    @property
    def addresses(self) -> Addresses:
        """Where the parts answer, once the stack has been entered."""
        return self._addresses

    def __enter__(self) -> Self:
        """Start all parts. Unavailable when one does not start, Conflict when all run already."""
        with ExitStack() as work:
            self._start(work)
            self._work = work.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all parts, the database last."""
        self._work.close()

    def _start(self, work: ExitStack) -> None:
        home = self.settings.home
        logs = home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        work.enter_context(_only_one(home / "up.lock"))
        ports = self._ports()
        if self._fresh:
            self._remove_former(home)
        url = self._database(work)
        self._report("bringing the database's schema up to date")
        engine = make_engine(url)
        try:
            upgrade(engine)
            storage = Storage(self.settings.storage_location)
            if storage.folder is not None:  # a bucket that is away comes back by itself
                check_storage(engine, storage)
        finally:
            engine.dispose()
        self._addresses = Addresses(
            api=f"http://{reachable(self.settings.api_host)}:{ports['api']}",
            detector=f"http://127.0.0.1:{ports['serve']}",
            ray_dashboard=self.settings.ray_jobs_url
            if self.settings.ray_address
            else f"http://127.0.0.1:{ports['dashboard']}",
            database=url.rpartition("@")[2],
            logs=logs,
        )
        # Ray's own variable would have parts join a cluster that the settings don't name.
        inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment = {
            **inherited,
            **no_proxy_here(),
            "PAVEMAP_LOG_FORMAT": self.settings.log_format,
            "PAVEMAP_LOG_LEVEL": self.settings.log_level,
            "PAVEMAP_HOME": str(home),
            "PAVEMAP_API_HOST": self.settings.api_host,
            "PAVEMAP_DATABASE_URL": url,
            "PAVEMAP_STORAGE_URL": self.settings.storage_location,
            "PAVEMAP_RAY_JOBS_URL": self._addresses.ray_dashboard,
        }
        self._children = [self._serving(environment, ports), self._api(environment, ports)]
        work.callback(self._stop)
        for child in self._children:
            self._report(f"starting {child.name}")
            launch(child)
        # The API is there long before Ray is: uploads may begin.
        self._wait_for(self._children[-1], meanwhile=f"its log is {logs / 'api.log'}")

    def _remove_former(self, home: Path) -> None:
        """Remove what an earlier run left; the storage only with its database, which would miss it."""
        PrivatePostgres(self.settings.postgres_folder).stop()
        folders = [self.settings.postgres_folder, self.settings.ray_folder]
        if self.settings.database_url is None:
            folders.append(home / "storage")
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def wait_until_ready(self) -> None:
        """Wait for every part, and from then on restart those that die. Raises Unavailable."""
        meanwhile = f"the API takes networks and imagery already, at {self._addresses.api}"
        for child in self._children:
            self._wait_for(child, meanwhile=meanwhile)
        self._watcher = threading.Thread(target=self._watch, name="pavemap-watch", daemon=True)
        self._watcher.start()

    def _database(self, work: ExitStack) -> str:
        if self.settings.database_url is not None:
            return self.settings.database_url.get_secret_value()
        cluster = PrivatePostgres(self.settings.postgres_folder)
        self._report(f"starting a private PostGIS in {self.settings.postgres_folder}")
        work.callback(cluster.stop)
        self._cluster = cluster
        return cluster.start()

    def _ports(self) -> dict[str, int]:
        wanted = {
            "api": (self.settings.api_host, self.settings.api_port, "PAVEMAP_API_PORT"),
            "serve": ("127.0.0.1", self.settings.serve_port, "PAVEMAP_SERVE_PORT"),
        }
        ports = {}
        for name, (host, port, variable) in wanted.items():
            if port and not is_free(host, port):
                raise Conflict(
                    f"port {port} is taken by another program; set {variable} to another one (0: any)"
                )
            ports[name] = port or free_port()
        ports["dashboard"] = free_port()
        return ports

    def _serving(self, environment: Mapping[str, str], ports: Mapping[str, int]) -> Child:
        ready_file = self._addresses.logs / "serving.ready"
        command = [sys.executable, "-m", "pavemap.serving.local", "--with-parent"]
        command += ["--args", json.dumps(self._serving_args), "--port", str(ports["serve"])]
        command += ["--ray-folder", str(self.settings.ray_folder)]
        if self.settings.ray_address:
            command += ["--ray-address", self.settings.ray_address]
        else:
            command += ["--dashboard", "--dashboard-port", str(ports["dashboard"])]
        return Child(
            name="Ray Serve",
            command=command,
            environment=dict(environment),
            log_file=self._addresses.logs / "serving.log",
            ready=lambda: ready_file.exists() and '"ready"' in ready_file.read_text(),
        )

    def _api(self, environment: Mapping[str, str], ports: Mapping[str, int]) -> Child:
        command = [*dies_with_parent(), sys.executable, "-m", "uvicorn", *GRACE]
        command += ["--factory", "pavemap.platform.api.main:create_app"]
        command += ["--host", self.settings.api_host, "--port", str(ports["api"])]
        return Child(
            name="the API",
            command=[*command, "--no-access-log"],
            environment=dict(environment),
            log_file=self._addresses.logs / "api.log",
            ready=lambda: answers(f"{self._addresses.api}/healthz"),
        )

    def _wait_for(self, child: Child, *, meanwhile: str) -> None:
        """Wait until a part is ready, saying now and then so. Raises Unavailable where one has ended."""
        begun = said = time.monotonic()
        while not child.ready():
            for each in self._children:
                if each.process is not None and each.process.poll() is not None:
                    raise Unavailable(f"{each.name} did not start: {last_words(each.log_file)}")
            now = time.monotonic()
            if now - begun > START_LIMIT_S:
                raise Unavailable(
                    f"{child.name} is not ready after {START_LIMIT_S / 60:.0f} minutes; its log ends: "
                    f"{last_words(child.log_file)}"
                )
            if now - said >= SAID_EVERY_S:
                said = now
                self._report(f"{child.name} is still starting; {meanwhile}")
            time.sleep(POLL_S)

    def _watch(self) -> None:
        """Restart what dies. Nothing ends this before the stack does: errors count as failed restarts."""
        while not self._stopping.wait(POLL_S):
            if self._cluster is not None and not self._cluster.alive():
                self._revive_database(self._cluster)
            for child in self._children:
                if child.process is not None and child.process.poll() is not None:
                    self._revive(child)

    def _revive(self, child: Child) -> None:
        assert child.process is not None
        status = child.process.returncode
        words = last_words(child.log_file)
        if child.restarts >= MAX_RESTARTS:
            child.process = None
            self.failed.set()
            self._say(f"{child.name} ended with status {status} once more ({words}); giving up")
            return
        child.restarts += 1
        self._say(f"{child.name} ended with status {status} ({words}); starting it again")
        if not self._stopping.wait(min(2.0**child.restarts, 15.0)):
            self._attempt(child.name, lambda: launch(child))

    def _revive_database(self, cluster: PrivatePostgres) -> None:
        """Start the private PostGIS on its port again; all others wait for it by themselves."""
        if self._cluster_restarts >= MAX_RESTARTS:
            self._cluster = None
            self.failed.set()
            self._say(f"the private PostGIS ended once more; see {cluster.folder / 'log'}")
            return
        self._cluster_restarts += 1
        self._say(f"the private PostGIS ended (see {cluster.folder / 'log'}); starting it again")
        if not self._stopping.wait(min(2.0**self._cluster_restarts, 15.0)):
            self._attempt("the private PostGIS", cluster.start)

    def _attempt(self, name: str, start: Callable[[], object]) -> None:
        """Start a part again. Whatever goes wrong is said; the part is still dead, and so comes up next."""
        try:
            start()
        except Exception as exc:
            log.debug("%s did not start", name, exc_info=exc)
            self._say(f"{name} did not start again ({type(exc).__name__}: {exc})")

    def _say(self, what: str) -> None:
        """Report from the watch; who can't hear it, as where output goes to a full disk, stops nothing."""
        try:
            self._report(what)
        except Exception as exc:
            log.warning("%s (not reported: %s)", what, exc)

    def _stop(self) -> None:
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()  # or it could start a child that nobody ends
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        end = time.monotonic() + STOP_TIMEOUT_S
        for process in running:
            wait_for_end(process, by=end)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that a second stack in the same home finds taken. Raises Conflict."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Conflict(
                f"pavemap already runs in {path.parent}; use it, or set PAVEMAP_HOME to another folder"
            ) from exc
        yield
