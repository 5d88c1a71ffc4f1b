"""The Surveyor: a thin Serve actor around a crew of workers."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import uuid
from typing import Any

import cv2
from ray.serve.handle import DeploymentHandle

from pavemap.geo.logs import configure_logs
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import make_engine
from pavemap.serving.args import ServingArgs
from pavemap.serving.crew import Crew
from pavemap.serving.metrics import SurveyorMetrics
from pavemap.serving.remote_detect import RemoteDetect
from pavemap.serving.worker import CellWorker, WorkRules
from pavemap.training.models.card import read_card
from pavemap.training.models.shipped_models import find_model_folder

log = logging.getLogger(__name__)

STOP_GRACE_S = 10.0
"""How long cells in work may take to finish when the replica is stopped; then they are given back."""


class Surveyor:
    """Serve deployment that takes no requests: it looks for work in the database from its start on."""

    def __init__(self, args: ServingArgs, detector: DeploymentHandle[Any]) -> None:
        """Start the crew. A database or storage that is away now is waited for, not a failure.

        Raises BadInput when no database or storage is named.
        """
        configure_logs(level=args.log_level, as_json=args.log_json)
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        cv2.setNumThreads(1)  # cells in work at once use the cores; more threads would only wait
        stop = threading.Event()
        storage = Storage(args.storage())
        # Each worker stores while the lease keeper and the listener hold a connection each.
        engine = make_engine(
            args.database(),
            pool_size=args.surveyor_threads + 2,
            application_name=f"pavemap surveyor {name}",
        )
        detect = RemoteDetect(detector, timeout_s=args.detect_timeout_s, stop=stop)
        rules = WorkRules(
            model_id=read_card(find_model_folder(args.model)).model_id if args.model else None,
            lease_s=args.lease_s,
            max_attempts=args.max_attempts,
            retry_after_s=args.retry_after_error_s,
        )
        metrics = SurveyorMetrics()
        workers = [
            CellWorker(
                engine,
                storage=storage,
                detect_with=detect.of,
                name=f"{name}-{number}",
                rules=rules,
                stop=stop,
                observe=metrics.observe_cell,
            )
            for number in range(args.surveyor_threads)
        ]
        self._crew = Crew(workers, engine=engine, rules=rules, stop=stop, poll_s=args.poll_s)
        self._closed = False
        # Ray ends an actor that gets SIGTERM without calling __del__, but it does run exit handlers.
        atexit.register(self.close)
        self._crew.start()
        log.info("surveyor %s with %d threads", name, args.surveyor_threads)

    def check_health(self) -> None:
        """Serve asks this now and then; an error has the replica replaced."""
        self._crew.check()

    def close(self) -> None:
        """Finish or give back what is in work; called once, whoever asks first."""
        if not self._closed:
            self._closed = True
            self._crew.close(grace_s=STOP_GRACE_S)

    def __del__(self) -> None:
        """Serve calls this when it stops a replica."""
        if hasattr(self, "_crew"):
            self.close()
