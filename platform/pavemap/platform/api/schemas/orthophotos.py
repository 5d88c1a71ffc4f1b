"""Imagery of surveys as the API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.platform.api.schemas.common import Bbox, Next

EXAMPLE_ORTHOPHOTO: JsonDict = {
    "id": 7,
    "name": "strip_03.tif",
    "names": ["strip_03.tif"],
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "bytes": 73400320,
    "crs": "EPSG:32633",
    "width": 20000,
    "height": 20000,
    "bands": 3,
    "dtype": "uint8",
    "gsd_m": 0.002,
    "bbox": [14.4211, 50.0801, 14.4217, 50.0805],
    "warnings": [],
    "uploaded_at": "2026-05-04T10:12:00Z",
}


class OrthophotoOut(BaseModel):
    """One uploaded raster of a survey."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_ORTHOPHOTO]})

    id: int
    name: str = Field(description="the first of its names, which decides what lies on top")
    names: list[str] = Field(
        description="those under which it was sent, and nothing else since; sorted"
    )
    sha256: str = Field(description="digest of the file as it was sent")
    bytes: int = Field(description="size of the file as it was sent")
    crs: str
    width: int
    height: int
    bands: int
    dtype: Literal["uint8", "uint16"]
    gsd_m: float = Field(description="ground metres per pixel")
    bbox: Bbox
    warnings: list[str]
    uploaded_at: datetime

    @classmethod
    def of(cls, row: OrthophotoRow) -> Self:
        """Describe a stored orthophoto."""
        info = row.info
        return cls(
            id=row.id,
            name=row.name,
            names=list(row.names),
            sha256=row.sha256,
            bytes=row.bytes,
            crs=info.to_dict()["crs"],
            width=info.width,
            height=info.height,
            bands=info.count,
            dtype=info.dtype,
            gsd_m=row.gsd_m,
            bbox=info.footprint.bounds,
            warnings=list(row.warnings),
            uploaded_at=row.uploaded_at,
        )


class OrthophotoPage(BaseModel):
    """A page of a survey's orthophotos."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"orthophotos": [EXAMPLE_ORTHOPHOTO], "next": None}]}
    )

    orthophotos: list[OrthophotoOut]
    next: Next
