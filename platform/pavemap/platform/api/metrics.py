"""What Prometheus reads at /metrics: requests and uploads of this process, and the work in the database.

Counters live in this process: run one worker process a pod, and let Prometheus add the pods up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from pavemap.geo.errors import PavemapError
from pavemap.geo.store.engine import database
from pavemap.geo.store.gauges import Gauges, read_gauges
from pavemap.geo.store.surveys import SurveyState
from pavemap.platform.api.probe import Probe
from pavemap.platform.api.services import PROBE_S, Services

SECONDS = (0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 300.0)
"""Queries take milliseconds, uploads minutes."""

GAUGES_KEPT_S = 5.0
"""However many ask, the database is asked no more often."""


class ApiMetrics:
    """The metrics of one application; each has a registry of its own."""

    def __init__(self, services: Services) -> None:
        """Take the services whose database is counted."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pavemap_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "pavemap_http_request_seconds",
            "Time from the request's head to the end of its answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.uploaded = Counter(
            "pavemap_upload_bytes",
            "Bytes of orthophotos received, those of uploads that failed too.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(DatabaseGauges(services))


class DatabaseGauges:
    """Reads the gauges when they are asked for; while the database is away they are absent."""

    def __init__(self, services: Services) -> None:
        """Take the services; nothing is asked yet."""

        def read() -> Gauges:
            with database(services.probes) as connection:
                return read_gauges(connection)

        self._probe = Probe(read, subject="the database", limit_s=PROBE_S, keep_s=GAUGES_KEPT_S)

    def describe(self) -> Iterator[Metric]:
        """Name the metrics without asking the database."""
        yield from _families(None)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now, or none."""
        try:
            found = self._probe.answer()
        except PavemapError:
            return
        yield from _families(found)


def _families(found: Gauges | None) -> Iterator[Metric]:
    cells = GaugeMetricFamily(
        "pavemap_cells", "Cells that are not done, by state.", labels=("state",)
    )
    oldest = GaugeMetricFamily(
        "pavemap_cells_oldest_waiting_seconds",
        "Age of the oldest run of a survey that still has a cell waiting for a worker.",
    )
    surveys = GaugeMetricFamily("pavemap_surveys", "Surveys by state.", labels=("state",))
    if found is not None:
        for state, count in found.cells.items():
            cells.add_metric((state,), count)
        oldest.add_metric((), found.oldest_waiting_s)
        for state in get_args(SurveyState):
            surveys.add_metric((state,), found.surveys.get(state, 0))
    yield from (cells, oldest, surveys)


router = APIRouter(tags=["health"])


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Answer in Prometheus' text format, or in OpenMetrics where that is asked for."""
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(request.app.state.metrics.registry), media_type=kind)
