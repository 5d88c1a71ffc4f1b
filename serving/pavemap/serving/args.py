"""What an operator can set on the Serve application: one typed model for `serve run`, YAML and local.py."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from pavemap.geo.errors import BadInput
from pavemap.geo.secrets import secret
from pavemap.geo.storage import STORAGE_VARIABLE
from pavemap.geo.store.engine import DATABASE_VARIABLE

BATCH_ON_CPU, BATCH_ON_GPU = 1, 8
"""A core gains nothing from a stack of 2176 x 2176 chips; a GPU is full with about 38 Mpx."""


class ServingArgs(BaseModel):
    """Arguments of `pavemap.serving.app:build`; every one has a default that suits one machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: SecretStr | None = Field(
        default=None,
        description=f"PostGIS; none is {DATABASE_VARIABLE} where each Surveyor runs (the safe way).",
    )
    storage_url: str | None = Field(
        default=None,
        description=f"Folder or s3://bucket/prefix; none is {STORAGE_VARIABLE} of each Surveyor.",
    )
    model: str | None = Field(
        default=None,
        description="Folder of the weights and their card, or the name or id of a shipped model, when "
        "only this one shall be used; none is any version a survey names, and the one in use.",
    )

    detector_replicas: int = Field(default=1, ge=1, description="Detectors, each with the model.")
    detector_cpus: float = Field(default=1.0, ge=0, description="CPUs that Ray books for each.")
    detector_gpus: float | Literal["auto"] = Field(
        default="auto",
        description="GPUs for each (0.5: two share one); auto is 1 where the cluster has one when "
        "the application is built, so name it where GPU nodes start on demand.",
    )
    detector_threads: int | None = Field(
        default=None, ge=1, description="Threads of a Detector on CPU; none shares out the cores."
    )
    max_batch_size: int | None = Field(
        default=None, ge=1, description="Chips in a batch; none is 1 on CPU and 8 on a GPU."
    )
    batch_wait_s: float = Field(default=0.01, ge=0, description="Longest wait to fill a batch.")
    max_queued_chips: int = Field(
        default=16, ge=1, description="Chips that may wait at each caller before it is refused."
    )
    retry_after_s: int = Field(default=2, ge=1, description="What a refused client is told.")
    max_chip_px: int = Field(
        default=2560 * 2560, ge=1, description="Largest chip taken over HTTP, in pixels."
    )

    surveyor_replicas: int = Field(
        default=1, ge=0, description="Surveyors; none makes a service that only detects chips."
    )
    surveyor_cpus: float = Field(default=1.0, ge=0, description="CPUs that Ray books for each.")
    surveyor_threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Cells in work at once in a Surveyor: 250 MB each (2048 px) and 550 MB in all.",
    )
    lease_s: float = Field(
        default=60.0, ge=1, description="A cell whose Surveyor is silent for so long is free again."
    )
    max_attempts: int = Field(
        default=3, ge=1, description="A cell is failed after so many attempts ended in an error."
    )
    retry_after_error_s: float = Field(
        default=10.0, ge=0, description="Rest of a cell after its first error; doubled after each."
    )
    poll_s: float = Field(
        default=5.0, gt=0, description="How often an idle Surveyor looks for work without a call."
    )
    detect_timeout_s: float = Field(
        default=600.0,
        gt=0,
        description="Longest wait for one chip, its place in the queue included.",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="What pavemap itself logs."
    )
    log_json: bool = Field(default=False, description="Log lines as JSON objects.")

    def chips_per_detector(self, *, on_gpu: bool) -> tuple[int, int]:
        """Return how many chips make a batch, and how many may be at one Detector at a time.

        While one batch is computed the next two are on their way: the network never waits for a chip.
        """
        batch = self.max_batch_size or (BATCH_ON_GPU if on_gpu else BATCH_ON_CPU)
        return batch, max(4, 3 * batch)

    def database(self) -> str:
        """Return the database's URL for this process. Raises BadInput when none is given."""
        given = self.database_url.get_secret_value() if self.database_url else None
        url = given or secret(DATABASE_VARIABLE)
        if not url:
            raise BadInput(f"no database is named; set {DATABASE_VARIABLE} where Surveyors run")
        return url

    def storage(self) -> str:
        """Return the storage's location for this process. Raises BadInput when none is given."""
        location = self.storage_url or os.environ.get(STORAGE_VARIABLE)
        if not location:
            raise BadInput(
                f"no storage is named; give storage_url or set {STORAGE_VARIABLE} where Surveyors run"
            )
        return location
