"""Training jobs as the API shows them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from pavemap.geo.store.training_jobs import TrainingJobRow


class TrainingJobOut(BaseModel):
    """A training job, as its cluster last told of it; `lost` is one that its cluster forgot."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "train-3f1c5b7a9d2e4f60",
                    "state": "running",
                    "message": "Job is currently running.",
                    "config": {"name": "old-town", "architecture": "fan2018", "iterations": 30000},
                    "submitted_at": "2026-05-04T11:00:00Z",
                    "finished_at": None,
                    "seen_at": "2026-05-04T11:20:00Z",
                    "backend": "ray",
                    "submissions": 1,
                }
            ]
        }
    )

    id: str
    state: Literal["pending", "running", "succeeded", "failed", "stopped", "lost"]
    message: str
    config: dict[str, Any]
    submitted_at: datetime | None
    finished_at: datetime | None
    seen_at: datetime
    backend: str
    submissions: int

    @classmethod
    def of(cls, job: TrainingJobRow) -> Self:
        """Describe a job."""
        return cls.model_validate(asdict(job))
