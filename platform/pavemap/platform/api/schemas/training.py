"""Training jobs as the API shows them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

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

    id: str = Field(description="made of the configuration: the same one is the same job")
    state: Literal["pending", "running", "succeeded", "failed", "stopped", "lost"] = Field(
        description="as its cluster last told; lost: its cluster is gone or has forgotten it"
    )
    message: str = Field(description="what the cluster says of the state; empty where nothing")
    config: dict[str, Any] = Field(description="the configuration that was submitted")
    submitted_at: datetime | None = Field(description="when its cluster took it, the last time")
    finished_at: datetime | None = Field(description="when it was over; null while it is not")
    seen_at: datetime = Field(description="when its cluster last told of it")
    backend: str = Field(description="what runs it: ray, or kubernetes for RayJobs of KubeRay")
    submissions: int = Field(description="how often it was sent to a cluster, from 1")

    @classmethod
    def of(cls, job: TrainingJobRow) -> Self:
        """Describe a job."""
        return cls.model_validate(asdict(job))
