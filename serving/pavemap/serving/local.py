"""Serving on one machine: `python -m pavemap.serving.local` starts (or joins) Ray and runs the application.

Prints one line of JSON on standard output when it is ready; SIGTERM or SIGINT ends it cleanly. Ray's
processes die with this one, however it ends. The database's URL comes from the environment alone.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil
from pydantic import SecretStr, ValidationError

from pavemap.geo.errors import BadInput
from pavemap.geo.logs import configure_logs
from pavemap.geo.store.engine import DATABASE_VARIABLE
from pavemap.serving.args import ServingArgs
from pavemap.serving.listening import free_port
from pavemap.serving.ray_home import RayHome, ray_defaults

log = logging.getLogger("pavemap.serving.local")  # __name__ is __main__ here

APPLICATION = "pavemap"
"""Name of the Serve application."""

EXIT_FAILED, EXIT_BAD_INPUT = 1, 2

SHUTDOWN_S = 40.0
"""Longest wait for an orderly end: twice what a Surveyor may take to finish its cells."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        args = _read_args(options)
    except BadInput as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_BAD_INPUT
    configure_logs(level=args.log_level, as_json=args.log_json)
    signals = _Signals()
    signals.catch()
    home = RayHome.at(options.ray_folder)
    try:
        _run(args, options, home, signals)
    except KeyboardInterrupt:
        log.info("stopped before it was ready")
    except Exception:
        log.exception("serving ended")
        return EXIT_FAILED
    finally:
        home.remove()
    return 0


def _run(args: ServingArgs, options: argparse.Namespace, home: RayHome, signals: _Signals) -> None:
    address = options.ray_address or os.environ.get("RAY_ADDRESS")
    os.environ.update(ray_defaults(os.environ))
    if not address and "RAY_AUTH_MODE" not in os.environ:
        os.environ.update(home.environment())
    # Ray reads its environment when it is imported, hence here and not above.
    import ray
    from ray import serve

    from pavemap.serving.app import build

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    log_config = {"log_level": "WARNING", "enable_access_log": False}
    try:
        if address:
            context: Any = ray.init(
                address=address, logging_level=logging.WARNING, log_to_driver=False
            )
            args = _with_database(args)
        else:
            context = ray.init(address="local", **_own_ray(args, options, home))
            _tell_jobs(context.address_info["gcs_address"], home.folder)
        signals.catch()  # Ray has put its own handlers in place of ours
        port = options.port or free_port()
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": options.host, "port": port},
            logging_config=log_config,
        )
        serve.run(build(args), name=APPLICATION, logging_config=log_config)
        signals.ready()
        _announce(
            {
                "state": "ready",
                "url": f"http://{options.host}:{port}",
                "ray_address": context.address_info["gcs_address"],
                "dashboard_url": _url(context.dashboard_url),
                "ray_token": os.environ.get("RAY_AUTH_TOKEN_PATH"),
                "pid": os.getpid(),
            }
        )
        own_ray_lives = (lambda: True) if address else _raylet_lives
        if not signals.wait(with_parent=options.with_parent, going_on=own_ray_lives):
            log.error("Ray has ended (was its raylet killed, as for memory?); start serving again")
            _leave(EXIT_FAILED, home)
        log.info("stopping")
        if address:
            serve.delete(APPLICATION)
        elif not _ends(serve.shutdown):
            log.warning("Ray ended first; cells in work are free again when their leases run out")
            _leave(0, home)
    finally:
        ray.shutdown()


def _leave(status: int, home: RayHome) -> NoReturn:
    """End without Ray: there is nothing left to talk to, and what is left of it dies with this."""
    home.remove()
    os._exit(status)


class _Signals:
    """SIGTERM and SIGINT: before all is ready they interrupt, then they ask to stop, then they insist."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._ready = False
        self._parent = os.getppid()

    def catch(self) -> None:
        """Put (back) the handlers."""
        handle: Callable[[int, FrameType | None], None] = self._handle
        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)

    def ready(self) -> None:
        """From now on a signal ends the wait."""
        self._ready = True

    def wait(self, *, with_parent: bool, going_on: Callable[[], bool]) -> bool:
        """Return at a signal, or when the process that started this one is gone.

        False when it is not `going_on` any more, though nobody asked to stop.
        """
        while not self._stop.wait(timeout=1.0):
            if with_parent and os.getppid() != self._parent:
                log.warning("the process that started this one is gone")
                return True
            if not going_on():
                return self._stop.is_set()  # a signal may have hit both
        return True

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            os._exit(128 + number)  # asked twice: Ray's processes die with this one
        self._stop.set()
        if not self._ready:
            raise KeyboardInterrupt


def _ends(shut_down: Callable[[], None]) -> bool:
    """Run a shut-down while Ray lives; False when it does not end, as when a signal hit Ray too."""
    thread = threading.Thread(target=shut_down, daemon=True)
    thread.start()
    deadline = time.monotonic() + SHUTDOWN_S
    while thread.is_alive() and time.monotonic() < deadline and _raylet_lives():
        thread.join(timeout=0.3)
    return not thread.is_alive()


def _raylet_lives() -> bool:
    return any(map(_is_raylet, psutil.Process().children()))


def _is_raylet(child: psutil.Process) -> bool:
    try:
        return bool(child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended just now
        return False


def _own_ray(args: ServingArgs, options: argparse.Namespace, home: RayHome) -> dict[str, Any]:
    """Return the arguments that start a small Ray of our own."""
    booked = (
        args.detector_replicas * args.detector_cpus + args.surveyor_replicas * args.surveyor_cpus
    )
    # On one machine CPUs are only Ray's book-keeping: what serving books must leave the cores to
    # a training job, which would otherwise wait for ever.
    cpus = options.num_cpus or int((os.cpu_count() or 1) + booked + 0.5)
    _give_agent_a_port(free_port())
    dashboard = {"dashboard_port": options.dashboard_port or free_port()}
    return {
        "num_cpus": cpus,
        "object_store_memory": options.object_store_mb * 1_000_000,
        "include_dashboard": options.dashboard,
        **(dashboard if options.dashboard else {}),
        "logging_level": logging.WARNING,
        "log_to_driver": True,
        "_temp_dir": str(home.folder),
    }


def _tell_jobs(address: str, folder: Path) -> None:
    """Note the address of our Ray where its jobs look; they would else join any Ray of the machine.

    `ray start` does it by itself, ray.init does not.
    """
    from ray._private.utils import write_ray_address

    write_ray_address(address, str(folder))


def _give_agent_a_port(port: int) -> None:
    """Have Ray's agent, which takes the jobs, listen elsewhere than at the one port all Rays want.

    `ray start` has an option for it, ray.init has none.
    """
    from ray._private.parameter import RayParams

    made: Any = functools.partialmethod(RayParams.__init__, dashboard_agent_listen_port=port)
    RayParams.__init__ = made  # type: ignore[method-assign]


def _with_database(args: ServingArgs) -> ServingArgs:
    """Hand this process's database and storage on to a cluster that may not know them."""
    known = {"database_url": SecretStr(args.database()), "storage_url": args.storage()}
    return args.model_copy(update=known) if args.surveyor_replicas else args


def _read_args(options: argparse.Namespace) -> ServingArgs:
    try:
        text = options.args_file.read_text() if options.args_file else options.args
        args = ServingArgs.model_validate_json(text)
    except OSError as exc:
        raise BadInput(f"{options.args_file} can't be read: {exc.strerror}") from exc
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'args'}: {error['msg']}"
            for error in exc.errors(include_input=False, include_url=False)
        )
        raise BadInput(f"the arguments can't be used: {problems}") from exc
    if args.database_url and not options.args_file:
        raise BadInput(
            f"a command line is seen by every user of the machine: give the database's URL in "
            f"{DATABASE_VARIABLE} (or in --args-file)"
        )
    if args.surveyor_replicas:
        args.database()
        args.storage()
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pavemap.serving.local", description=__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--args", default="{}", metavar="JSON", help="ServingArgs as JSON")
    source.add_argument("--args-file", type=Path, metavar="PATH", help="ServingArgs in a JSON file")
    parser.add_argument("--host", default="127.0.0.1", help="address of the HTTP ingress")
    parser.add_argument("--port", type=int, default=0, help="its port; 0 (default) is a free one")
    parser.add_argument(
        "--ray-address", help="Ray to join (default RAY_ADDRESS; else a Ray of our own)"
    )
    parser.add_argument(
        "--ray-folder", type=Path, default=Path(".pavemap/ray"), help="files of a Ray of our own"
    )
    parser.add_argument("--num-cpus", type=int, help="CPUs Ray may book (default: enough for all)")
    parser.add_argument("--object-store-mb", type=int, default=200, help="Ray's shared memory")
    parser.add_argument(
        "--dashboard", action="store_true", help="start Ray's dashboard, which takes training jobs"
    )
    parser.add_argument("--dashboard-port", type=int, help="its port (default a free one)")
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when the process that started this one ends",
    )
    return parser


def _announce(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _url(address: str | None) -> str | None:
    return f"http://{address}" if address else None


if __name__ == "__main__":
    sys.exit(main())
