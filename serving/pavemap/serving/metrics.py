"""What Serve's processes count; Ray exports it on each node's metrics port, prefixed by `ray_`."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Histogram

STAGE_SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
BATCH_SIZES = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


class DetectorMetrics:
    """Chips and batches of one Detector."""

    def __init__(self) -> None:
        """Register with this process's Ray."""
        self._chips = Counter("pavemap_chips_total", "Chips through the network.")
        self._batch = Histogram("pavemap_batch_size", "Chips in a batch.", boundaries=BATCH_SIZES)

    def observe_batch(self, size: int) -> None:
        """Count a batch of `size` chips."""
        self._chips.inc(size)
        self._batch.observe(size)


class SurveyorMetrics:
    """Cells and their stages of one Surveyor."""

    def __init__(self) -> None:
        """Register with this process's Ray."""
        self._cells = Counter(
            "pavemap_cells_total", "Cells worked at, by outcome.", tag_keys=("outcome",)
        )
        self._stage = Histogram(
            "pavemap_stage_seconds",
            "Seconds that a cell spent in a stage.",
            boundaries=STAGE_SECONDS,
            tag_keys=("stage",),
        )

    def observe_cell(self, outcome: str, seconds: Mapping[str, float]) -> None:
        """Count a cell that was done, failed or dropped, and its seconds by stage."""
        self._cells.inc(tags={"outcome": outcome})
        for stage, spent in seconds.items():
            self._stage.observe(spent, tags={"stage": stage})
