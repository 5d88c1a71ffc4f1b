"""What is asked of a user's file of lines or polygons, and what comes of it, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from pavemap.geo.errors import BadInput

MAX_FEATURES = 1_000_000
MAX_UNPACKED_BYTES = 1 << 30
"""What a zip or a Parquet file may unfold to, on disk or in memory."""

FORMATS = "GeoPackage (.gpkg), GeoJSON (.geojson), zipped Shapefile (.zip) or GeoParquet (.parquet)"
Shapes = Literal["line", "polygon", "line or polygon"]


@dataclass(frozen=True)
class Wanted:
    """What to read of a file: named fields, those of some others that it has, and which shapes."""

    columns: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    """Names in lower case."""
    shapes: Shapes = "line"
    layer: str | None = None
    max_features: int = MAX_FEATURES
    what: str = "road lines"
    """What messages call the features."""
    file: str = "the file"
    """What messages call the file."""

    def of(self, known: Iterable[object]) -> tuple[str, ...]:
        """Return the fields to read of those there are. Raises BadInput for a named one that isn't."""
        names = [str(name) for name in known]
        missing = [name for name in self.columns if name not in names]
        if missing:
            listed = ", ".join(sorted(names))[:500] or "none"
            raise BadInput(f"there is no field '{missing[0]}'; the file has: {listed}")
        more = [name for name in names if name.lower() in self.optional]
        return tuple(dict.fromkeys([*self.columns, *more]))


@dataclass(frozen=True)
class RawLines:
    """A file as it is: (N,) geometries (None where unreadable), the columns read, and the CRS."""

    geometries: NDArray[np.object_]
    columns: pd.DataFrame
    crs: CRS
    assumed_encoding: str | None = None
    """How texts were read whose encoding the file doesn't tell; None where nothing was assumed."""


def from_frame(frame: Any, columns: tuple[str, ...], name: str) -> RawLines:
    """Take over what a reader made of a file. Raises BadInput without a geometry or a known CRS."""
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise BadInput(f"'{name}' has no geometry; export it with its lines or polygons")
    if frame.crs is None:
        raise BadInput(
            f"'{name}' does not say its coordinate reference system; add it (a .prj beside a "
            "Shapefile, or 'Assign projection' in a GIS), then send the file again"
        )
    try:
        crs = CRS.from_user_input(frame.crs)
    except CRSError as exc:
        raise BadInput(f"the CRS of '{name}' is not known; assign an EPSG code") from exc
    values = {column: list(frame[column]) for column in columns}
    return RawLines(np.asarray(frame.geometry.array, dtype=object), object_frame(values), crs)


def object_frame(values: dict[str, list[Any]]) -> pd.DataFrame:
    """Make a table of cells as they are, without guessing what a column holds."""
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in values.items()})


def refuse_layer(layer: str | None) -> None:
    """Raise BadInput where a layer is asked for of a format that has none."""
    if layer is not None:
        raise BadInput("this format has no layers; leave the layer out")


def refuse_too_many(count: int, most: int) -> None:
    """Raise BadInput for more features than are wanted."""
    if count > most:
        raise BadInput(f"the file holds over {most:,} features; split it by region")


def too_large(container: str) -> str:
    """Say that a file unfolds to more than MAX_UNPACKED_BYTES."""
    return f"the {container} unfolds to over {MAX_UNPACKED_BYTES >> 20} MiB; send it in parts"


def refuse_other_bytes(path: Path, magic: bytes, name: str) -> None:
    """Raise BadInput unless a file begins with the bytes of its format."""
    with path.open("rb") as file:
        if file.read(len(magic)) != magic:
            raise BadInput(f"'{name}' is not what its suffix says; send {FORMATS}")
