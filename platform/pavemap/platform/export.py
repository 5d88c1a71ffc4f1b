"""Writes segments and cracks batch by batch to GeoPackage, GeoJSON or CSV, whole or not at all."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Any, Literal, Protocol, Self

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyproj import CRS

from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.platform.styling import (
    DENSITY,
    PCI,
    change_style,
    crack_change_style,
    crack_style,
    density_classes,
    pci_style,
    segment_style,
)

LayerName = Literal["segments", "cracks", "pieces", "changes", "crack_changes"]

COORDINATE_DIGITS = 9
"""Decimals of a degree in GeoJSON and CSV: a tenth of a millimetre."""


@dataclass(frozen=True)
class Layer:
    """A table of the result: its geometry (in two dimensions) and its columns."""

    name: LayerName
    geometry: str
    columns: Mapping[str, str]
    """Pandas type by column, so that a column of nulls is still one of numbers."""


_TEXT, _REAL, _COUNT, _FLAG = "string", "Float64", "Int64", "boolean"

LAYERS: Mapping[LayerName, Layer] = {
    "segments": Layer(
        "segments",
        "MultiPolygon",
        {
            "segment_key": _TEXT,
            "road_key": _TEXT,
            "name": _TEXT,
            "from_m": _REAL,
            "to_m": _REAL,
            "length_m": _REAL,
            "width_m": _REAL,
            "width_source": _TEXT,
            "lanes": _COUNT,
            "oneway": _FLAG,
            "surface": _TEXT,
            "pavement_m2": _REAL,
            "imaged_m2": _REAL,
            "coverage": _REAL,
            "crack_count": _COUNT,
            "crack_length_m": _REAL,
            "cracked_area_m2": _REAL,
            DENSITY: _REAL,
            "confident": _FLAG,
            "reason": _TEXT,
            "too_coarse": _REAL,
            "cracked_area_share": _REAL,
            "length_longitudinal_m": _REAL,
            "length_transverse_m": _REAL,
            "length_diagonal_m": _REAL,
            "length_alligator_m": _REAL,
            "length_block_m": _REAL,
            "length_low_m": _REAL,
            "length_medium_m": _REAL,
            "length_high_m": _REAL,
            "length_unknown_m": _REAL,
            "alligator_m2": _REAL,
            "block_m2": _REAL,
            "zeb_share": _REAL,
            "zeb_evaluated": _REAL,
            "cracking_percent": _REAL,
            "cracking_rating": _TEXT,
            PCI: _REAL,
            "pci_rating": _TEXT,
        },
    ),
    "changes": Layer(
        "changes",
        "MultiPolygon",
        {
            "segment_key": _TEXT,
            "road_key": _TEXT,
            "name": _TEXT,
            "from_m": _REAL,
            "to_m": _REAL,
            "length_m": _REAL,
            "density_before_m_per_m2": _REAL,
            "density_after_m_per_m2": _REAL,
            "density_change_m_per_m2": _REAL,
            "uncertainty_m_per_m2": _REAL,
            "significant": _FLAG,
            "coverage_before": _REAL,
            "coverage_after": _REAL,
            "common_m2": _REAL,
            "new_m": _REAL,
            "grown_m": _REAL,
            "gone_m": _REAL,
            "unchanged_m": _REAL,
            "widened_mm": _REAL,
        },
    ),
    "crack_changes": Layer(
        "crack_changes",
        "LineString",
        {
            "kind": _TEXT,
            "length_m": _REAL,
            "width_mean_mm": _REAL,
            "width_before_mm": _REAL,
        },
    ),
    "cracks": Layer(
        "cracks",
        "LineString",
        {
            "crack_id": _COUNT,
            "length_m": _REAL,
            "width_mean_mm": _REAL,
            "width_p95_mm": _REAL,
            "width_max_mm": _REAL,
            "area_m2": _REAL,
            "model": _TEXT,
        },
    ),
    "pieces": Layer(
        "pieces",
        "LineString",
        {
            "crack_id": _COUNT,
            "segment_key": _TEXT,
            "length_m": _REAL,
            "width_mean_mm": _REAL,
            "width_p95_mm": _REAL,
            "width_max_mm": _REAL,
            "area_m2": _REAL,
        },
    ),
}


class _Sink(Protocol):
    def write(self, layer: Layer, frame: gpd.GeoDataFrame) -> None: ...

    def close(self) -> None: ...


class Export(AbstractContextManager["Export"]):
    """One export: `write` any number of batches to each layer; leaving the block puts it in place.

    A GeoPackage holds every layer. A GeoJSON or CSV file holds one: the first layer has the name
    given, each further one `<name>_<layer>`. An error leaves whatever was there before untouched.
    """

    def __init__(
        self,
        path: Path,
        *,
        layers: Sequence[LayerName],
        crs: CRS = WGS84,
        descriptions: Mapping[LayerName, str] | None = None,
    ) -> None:
        """Take the file to make, its layers, and the CRS of what will be written.

        `descriptions` say what a layer is; only a GeoPackage has room for them. Raises BadInput when
        the file's suffix or folder won't do.
        """
        self.path = path
        self.descriptions = dict(descriptions or {})
        self._crs = crs
        self.layers = [LAYERS[name] for name in layers]
        self._format = format_of(path)
        if not path.parent.is_dir():
            raise BadInput(f"there is no folder {path.parent}; make it first")
        self._work = ExitStack()

    @property
    def files(self) -> list[Path]:
        """The files that the export consists of."""
        if self._format == "gpkg":
            return [self.path]
        return [self._file_of(layer) for layer in self.layers]

    def __enter__(self) -> Self:
        """Open temporary files beside the target."""
        folder = self._work.enter_context(
            TemporaryDirectory(prefix=".pavemap-", dir=self.path.parent)
        )
        self._folder = Path(folder)
        self._sink = self._open()
        for layer in self.layers:
            self._sink.write(layer, _shaped(layer, gpd.GeoDataFrame(geometry=[]), self._crs))
        return self

    def write(self, name: LayerName, frame: gpd.GeoDataFrame) -> None:
        """Add rows (in the export's CRS); columns not of the layer are left out, missing ones null."""
        if len(frame):
            self._sink.write(LAYERS[name], _shaped(LAYERS[name], frame, self._crs))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the files in place, or remove them after an error."""
        with self._work:
            self._sink.close()
            if kind is None:
                for file in self.files:
                    (self._folder / file.name).replace(file)

    def _file_of(self, layer: Layer) -> Path:
        if layer is self.layers[0]:
            return self.path
        return self.path.with_stem(f"{self.path.stem}_{layer.name}")

    def _open(self) -> _Sink:
        if self._format == "gpkg":
            return _GeoPackage(self._folder / self.path.name, self.descriptions)
        targets = {layer.name: self._folder / self._file_of(layer).name for layer in self.layers}
        if self._format == "geojson":
            return _GeoJson(targets)
        return _Csv(targets, ("lon", "lat") if self._crs.is_geographic else ("x", "y"))


def format_of(path: Path) -> Literal["gpkg", "geojson", "csv"]:
    """Return the format that a file's suffix names. Raises BadInput for another one."""
    match path.suffix.lower():
        case ".gpkg":
            return "gpkg"
        case ".geojson" | ".json":
            return "geojson"
        case ".csv":
            return "csv"
    raise BadInput(f"'{path.name}' names no known format; end it in .gpkg, .geojson or .csv")


class _GeoPackage:
    """All layers in one file, each with a style that QGIS applies when it opens the layer."""

    def __init__(self, path: Path, descriptions: Mapping[LayerName, str]) -> None:
        self.path = path
        self.descriptions = dict(descriptions)
        self._densities: list[float] = []
        self._styled: list[Layer] = []

    def write(self, layer: Layer, frame: gpd.GeoDataFrame) -> None:
        pyogrio.write_dataframe(
            frame,
            self.path,
            driver="GPKG",
            layer=layer.name,
            geometry_type=layer.geometry,
            promote_to_multi=layer.geometry.startswith("Multi"),
            append=layer in self._styled,
        )
        if layer not in self._styled:
            self._styled.append(layer)
        if layer.name == "segments":
            self._densities.extend(frame[DENSITY].to_numpy(float, na_value=math.nan))

    def close(self) -> None:
        if not self.path.exists():
            return
        styles = {
            "segments": [
                ("", segment_style(density_classes(self._densities))),
                (" by PCI", pci_style()),
            ],
            "changes": [("", change_style())],
            "crack_changes": [("", crack_change_style())],
        }
        add_styles(
            self.path,
            [
                (layer.name, f"pavemap {layer.name}{suffix}", style, not suffix)
                for layer in self._styled
                for suffix, style in styles.get(layer.name, [("", crack_style())])
            ],
        )
        _describe(self.path, self.descriptions)


class _GeoJson:
    """RFC 7946 feature collections, one a layer, written as they come."""

    def __init__(self, targets: Mapping[LayerName, Path]) -> None:
        self._files = {name: path.open("w", encoding="utf-8") for name, path in targets.items()}
        self._separators = dict.fromkeys(targets, "\n")
        for name, file in self._files.items():
            file.write(f'{{"type": "FeatureCollection", "name": "{name}", "features": [')

    def write(self, layer: Layer, frame: gpd.GeoDataFrame) -> None:
        file = self._files[layer.name]
        for feature in _features(frame):
            file.write(self._separators[layer.name] + json.dumps(feature, ensure_ascii=False))
            self._separators[layer.name] = ",\n"

    def close(self) -> None:
        for file in self._files.values():
            file.write("\n]}\n")
            file.close()


class _Csv:
    """Spreadsheet tables (UTF-8, comma), with the middle of each geometry as lon and lat (or x and y)."""

    def __init__(self, targets: Mapping[LayerName, Path], place: tuple[str, str]) -> None:
        self._place = place
        self._files: dict[LayerName, IO[str]] = {
            name: path.open("w", encoding="utf-8", newline="") for name, path in targets.items()
        }
        for name, file in self._files.items():
            csv.writer(file).writerow([*LAYERS[name].columns, *place])

    def write(self, layer: Layer, frame: gpd.GeoDataFrame) -> None:
        table = pd.DataFrame(frame.drop(columns="geometry"))
        middle = shapely.point_on_surface(frame.geometry.to_numpy())
        x, y = self._place
        table[x] = np.round(shapely.get_x(middle), COORDINATE_DIGITS)
        table[y] = np.round(shapely.get_y(middle), COORDINATE_DIGITS)
        table.to_csv(self._files[layer.name], header=False, index=False)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _shaped(layer: Layer, frame: gpd.GeoDataFrame, crs: CRS) -> gpd.GeoDataFrame:
    """Return exactly the layer's columns in its types, and flat geometry."""
    table = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    columns = table.reindex(columns=list(layer.columns)).astype(dict(layer.columns))
    flat = shapely.force_2d(frame.geometry.to_numpy())
    return gpd.GeoDataFrame(columns, geometry=flat, crs=crs)


def _features(frame: gpd.GeoDataFrame) -> Iterator[dict[str, Any]]:
    rounded = shapely.transform(
        frame.geometry.to_numpy(), lambda points: np.round(points, COORDINATE_DIGITS)
    )
    properties = pd.DataFrame(frame.drop(columns="geometry")).astype(object)
    rows = properties.where(properties.notna(), None).to_dict("records")
    for geometry, row in zip(rounded, rows, strict=True):
        yield {"type": "Feature", "properties": row, "geometry": shapely.geometry.mapping(geometry)}


def _describe(path: Path, descriptions: Mapping[LayerName, str]) -> None:
    """Say in gpkg_contents what each layer is; QGIS shows it with the layer's properties."""
    with _transaction(path) as connection:
        connection.executemany(
            "UPDATE gpkg_contents SET description = ? WHERE table_name = ?",
            [(said, name) for name, said in descriptions.items()],
        )


def add_styles(path: Path, styles: Sequence[tuple[str, str, str, bool]]) -> None:
    """Store styles the way QGIS does: a table `layer_styles`, named in gpkg_contents.

    Each is a layer, the style's name, its QML, and whether it is the one shown at first.
    """
    with _transaction(path) as connection:
        connection.execute(
            "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
            "f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), "
            "f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, "
            "useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), "
            "update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"
        )
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', '')"
        )
        connection.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner) "
            "VALUES ('', '', ?, 'geom', ?, ?, '', ?, 'made by pavemap', '')",
            styles,
        )


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            yield connection
    finally:
        connection.close()
