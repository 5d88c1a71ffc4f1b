"""Surveys as the API takes and shows them."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.geo.limits import MAX_POSITION_RMSE_M
from pavemap.geo.resolution import smallest_width_mm
from pavemap.geo.store.planning import PlanReport
from pavemap.geo.store.surveys import SurveyRow, SurveyState
from pavemap.platform.api.schemas.cells import Cells
from pavemap.platform.api.schemas.common import Day, Label, Printable

EXAMPLE_SUMMARY: JsonDict = {
    "id": "6c5f1a8e-4b7c-4b55-9d4e-2f1f0c6a7b10",
    "name": "Old town, spring 2026",
    "network_id": "0b0e4f5e-3c57-4a0b-8a4e-0d9d7d1a9f11",
    "model": "survey-context-1a2b3c4d",
    "captured_on": "2026-04-28",
    "state": "running",
    "error": "",
    "crs": "EPSG:32633",
    "gsd_m": 0.002,
    "ground_gsd_m": 0.002,
    "smallest_width_mm": 2.0,
    "measures": {"min_coverage": 0.9},
    "position_rmse_m": None,
    "heeded_reviews": None,
    "created_at": "2026-05-04T10:00:00Z",
    "started_at": "2026-05-04T11:00:00Z",
    "finished_at": None,
}
EXAMPLE_SURVEY: JsonDict = {
    **EXAMPLE_SUMMARY,
    "cells": {
        "total": 120,
        "waiting": 80,
        "leased": 4,
        "done": 36,
        "failed": 0,
        "retries": 1,
        "errors": {},
    },
    "imaged_m2": 1820.4,
    "coverage": None,
    "attention": "",
    "orthophotos": 214,
    "finest_gsd_m": 0.002,
}


class SurveyCreate(BaseModel):
    """A survey to be."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Old town, spring 2026",
                    "network": "Old town",
                    "captured_on": "2026-04-28",
                }
            ]
        },
    )

    name: Label
    network: Printable = Field(description="id or name of an imported network")
    captured_on: Day | None = Field(default=None, description="day the imagery was taken")
    crs: Printable | None = Field(
        default=None,
        max_length=20_000,
        description="metric working CRS, such as EPSG:32633; by default the UTM zone of the network",
    )
    gsd_m: float | None = Field(
        default=None,
        ge=0.0002,
        le=1.0,
        description="ground metres per pixel to survey at; by default what the model was made for",
    )
    model: Printable | None = Field(
        default=None,
        description="id of a model version, or a shipped one's name; by default the one in use",
    )
    measures: dict[str, Any] | None = Field(
        default=None,
        description="parameters of the measures that differ from their defaults, such as "
        '{"min_coverage": 0.9, "severity_mm": [3, 19]}; docs/measures.md lists them',
    )
    position_rmse_m: float | None = Field(
        default=None,
        ge=0,
        le=MAX_POSITION_RMSE_M,
        description="horizontal error of the imagery (radial RMSE), where it is known: how far apart "
        "two surveys may show the same crack",
    )


class SurveySummary(BaseModel):
    """A survey, as it stands in the list."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SUMMARY]})

    id: uuid.UUID
    name: str
    network_id: uuid.UUID
    model: str = Field(description="id of the model version that looks at it")
    captured_on: date | None
    state: SurveyState
    error: str = Field(description="why it failed; empty otherwise")
    crs: str = Field(description="its metric working CRS")
    gsd_m: float = Field(description="pixel of its grid, in metres of that CRS")
    ground_gsd_m: float = Field(
        description="pixel of its grid, in true ground metres in the middle of its network"
    )
    smallest_width_mm: float = Field(
        description="narrowest crack whose width its pixels can show, of the finest imagery where that is "
        "coarser than the grid (in a list of surveys: of the grid); narrower ones may be found, but "
        "look as wide"
    )
    measures: dict[str, Any] = Field(description="parameters of its measures")
    position_rmse_m: float | None
    heeded_reviews: int | None = Field(
        description="how many reviews its figures heed; null where they are as the model found them"
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: SurveyRow, *, ground_gsd_m: float, finest_m: float = 0.0, **more: Any) -> Self:
        """Describe a stored survey; `finest_m` is the smallest pixel of its imagery, 0 without any."""
        values = asdict(row)
        return cls(
            model=row.model_id,
            ground_gsd_m=ground_gsd_m,
            smallest_width_mm=round(smallest_width_mm(max(ground_gsd_m, finest_m)), 6),
            **{name: values[name] for name in cls.model_fields if name in values},
            **more,
        )


class SurveyOut(SurveySummary):
    """A survey: what it is, and how far."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SURVEY]})

    cells: Cells
    imaged_m2: float = Field(description="ground seen so far, in true square metres")
    coverage: float | None = Field(
        description="imaged share of the pavement of all surveyed segments; null before it is measured"
    )
    attention: str = Field(
        description="what keeps it from going on, such as no Surveyor that serves its model, or that its "
        "files or reviews are others than those its figures rest on; empty where nothing is"
    )
    orthophotos: int = Field(
        description="number of its files, each once however many names stand for it; "
        "GET .../orthophotos lists them"
    )
    finest_gsd_m: float | None = Field(
        description="ground metres per pixel of its finest imagery; null before there is any"
    )


class MeasureIn(BaseModel):
    """Which figures a survey is to have."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"heed_reviews": True}]}
    )

    heed_reviews: bool = Field(
        description="true: without the cracks that reviewers rejected and with those that they drew, "
        "moved or widened; false: as the model found them"
    )


class RunOut(BaseModel):
    """What a run has to do: the cells where imagery meets pavement."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "state": "running",
                    "total": 120,
                    "added": 120,
                    "redone": 0,
                    "dropped": 0,
                    "retried": 0,
                }
            ]
        }
    )

    state: SurveyState
    total: int
    added: int = Field(description="new since the last run")
    redone: int = Field(description="due again, because their imagery changed")
    dropped: int = Field(description="no longer covered by imagery")
    retried: int = Field(description="failed before, tried again")

    @classmethod
    def of(cls, plan: PlanReport, *, state: SurveyState, retried: int) -> Self:
        """Describe a plan."""
        counts = {name: getattr(plan, name) for name in ("total", "added", "redone", "dropped")}
        return cls(state=state, retried=retried, **counts)
