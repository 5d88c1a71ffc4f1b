"""Cells of a survey's grid as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.geo.store.cells import CellRow, CellState
from pavemap.geo.store.surveys import Progress
from pavemap.platform.api.schemas.common import Bbox, Next

EXAMPLE_CELLS: JsonDict = {
    "cells": [
        {
            "col": 12,
            "row": -3,
            "state": "failed",
            "attempts": 3,
            "error": "strip_03.tif can't be read: its file is cut short; upload it again",
            "imaged_m2": 0.0,
            "finished_at": None,
            "bbox": [14.4211, 50.0801, 14.4214, 50.0803],
        }
    ],
    "next": None,
}


class Cells(BaseModel):
    """The squares of a survey's grid, by state."""

    total: int
    waiting: int
    leased: int = Field(description="being worked on")
    done: int
    failed: int
    retries: int = Field(description="attempts beyond the first, over all cells")
    errors: dict[str, int] = Field(description="what failed cells say, with their number")

    @classmethod
    def of(cls, row: Progress) -> Self:
        """Describe a survey's progress."""
        return cls(
            total=row.cells_total,
            waiting=row.waiting,
            leased=row.leased,
            done=row.done,
            failed=row.failed,
            retries=row.retries,
            errors=dict(row.errors),
        )


class CellOut(BaseModel):
    """A square of a survey's grid."""

    col: int
    row: int
    state: CellState
    attempts: int
    error: str = Field(description="what went wrong at the last attempt; empty when nothing did")
    imaged_m2: float
    finished_at: datetime | None
    bbox: Bbox = Field(description="west, south, east, north in degrees")

    @classmethod
    def of(cls, row: CellRow) -> Self:
        """Describe a stored cell."""
        return cls(
            col=row.cell.col,
            row=row.cell.row,
            state=row.state,
            attempts=row.attempts,
            error=row.error,
            imaged_m2=row.imaged_m2,
            finished_at=row.finished_at,
            bbox=row.square.bounds,
        )


class CellPage(BaseModel):
    """A page of cells."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CELLS]})

    cells: list[CellOut]
    next: Next
