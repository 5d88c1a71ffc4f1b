"""Reads lines and polygons that label cracks, with their fields, from a file of any GIS."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.arrays import Objects
from pavemap.geo.crs import reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.vector_files import Shapes, read_raw_lines
from pavemap.geo.verdict import Verdict

WIDTH_FIELDS = ("width_mm", "width_mean_mm")
"""Usual fields of a line's width in millimetres, the first that says something counts."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class LabelFile:
    """Single lines and polygons, flat, in `crs`; of a feature of many parts each has the fields.

    shapes: (N,). feature: (N,) number in the file, from 1. columns: a row for each shape.
    without_shape: fields of features without any usable shape, by their number.
    """

    shapes: Objects
    feature: NDArray[np.int64]
    columns: pd.DataFrame
    crs: CRS
    without_shape: pd.DataFrame

    def to(self, crs: CRS) -> Objects:
        """Return the shapes in another CRS. Raises BadInput where one can't be brought there."""
        moved: Objects = np.asarray(reproject(self.shapes, self.crs, crs), dtype=object)
        if len(moved) and not np.isfinite(shapely.get_coordinates(moved)).all():
            raise BadInput(
                f"the labels lie outside the area of {self.crs.name} or {crs.name}; check their CRS"
            )
        return moved

    def has(self, name: str) -> bool:
        """Tell whether there is a field of this name, in any case."""
        return name in _fields(self.columns)

    def column(self, *names: str) -> list[Any]:
        """Return, for each shape, the first of these fields (in any case) that says something, or None."""
        return _first_said(self.columns, names)

    def shapeless(self, name: str) -> list[int]:
        """Return the numbers of features without any usable shape of which this field says something."""
        said = _first_said(self.without_shape, (name,))
        numbers = self.without_shape.index.tolist()
        return [number for number, each in zip(numbers, said, strict=True) if each is not None]


def read_labels(
    path: Path,
    *,
    layer: str | None = None,
    columns: Sequence[str] = (),
    optional: Iterable[str] = (),
    shapes: Shapes = "line",
    what: str = "labels",
) -> LabelFile:
    """Read GeoPackage, GeoJSON, a zipped Shapefile or GeoParquet, as safely as road files are.

    `columns` must be there, `optional` (lower case) may. Raises BadInput.
    """
    raw = read_raw_lines(
        path, layer=layer, columns=columns, optional=optional, shapes=shapes, what=what
    )
    there = np.array([each is not None for each in raw.geometries])
    parts, index = shapely.get_parts(shapely.force_2d(raw.geometries[there]), return_index=True)
    feature = np.flatnonzero(there)[index]
    dimension = {"line": (1,), "polygon": (2,), "line or polygon": (1, 2)}[shapes]
    usable = np.isin(shapely.get_dimensions(parts), dimension) & ~shapely.is_empty(parts)
    usable &= np.isfinite(shapely.bounds(parts)).all(axis=1)
    parts, feature = parts[usable], feature[usable]
    if not len(parts):
        raise BadInput(f"'{path.name}' holds no {what} that can be used; check its layer")
    columns_of = raw.columns.reindex(range(len(raw.geometries)))  # there may be none
    without = np.setdiff1d(np.arange(len(raw.geometries)), feature)
    return LabelFile(
        shapes=parts,
        feature=feature.astype(np.int64) + 1,
        columns=columns_of.iloc[feature].reset_index(drop=True),
        crs=raw.crs,
        without_shape=columns_of.iloc[without].set_axis(without + 1),
    )


def verdict_of(value: Any, *, feature: int) -> Verdict:
    """Read what a crack was judged to be. Raises BadInput for what is no verdict."""
    said = str(value).strip().lower()
    for verdict in VERDICTS:
        if said == verdict:
            return verdict
    raise BadInput(
        f"feature #{feature} has the verdict {said[:40]!r}; it may be {', '.join(VERDICTS)}, or empty for "
        "a crack that nobody judged"
    )


def width_of(value: Any, *, feature: int) -> float | None:
    """Read a width in millimetres. Raises BadInput for what is none."""
    if value is None:
        return None
    try:
        width_mm = float(value)
    except (TypeError, ValueError) as exc:
        raise BadInput(
            f"feature #{feature} is {str(value)[:40]!r} wide; give a number of millimetres"
        ) from exc
    if not (math.isfinite(width_mm) and width_mm > 0.0):
        raise BadInput(f"feature #{feature} is {width_mm:g} mm wide; give more than 0")
    return width_mm


def _fields(columns: pd.DataFrame) -> dict[str, Any]:
    """Return the names of fields by what they are in lower case."""
    return {str(name).lower(): name for name in columns}


def _first_said(columns: pd.DataFrame, names: Sequence[str]) -> list[Any]:
    """Return, for each row, the first of these fields (in any case) that says something, or None."""
    known = _fields(columns)
    chosen = [list(columns[known[name]]) for name in names if name in known]
    return [
        next((value for value in row if not _says_nothing(value)), None)
        for row in (zip(*chosen, strict=True) if chosen else [()] * len(columns))
    ]


def _says_nothing(value: Any) -> bool:
    if value is None or value is pd.NA:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float | np.floating) and math.isnan(value)
