"""The files of an export, one class for each format; each takes batches of any of its layers."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely

from pavemap.platform.exports.export_layers import LAYERS, Layer, LayerName
from pavemap.platform.exports.geopackage import add_styles, describe, row_counts
from pavemap.platform.exports.styling import (
    DENSITY,
    change_style,
    crack_change_style,
    crack_style,
    density_classes,
    pci_style,
    segment_style,
)

CSV_LINE_END = "\r\n"
FORMULA = re.compile(r"^[=@\t\r]|^[+-](?![\d.:~]+$)")
"""How a text begins that spreadsheets take for a formula; a signed number is a number, -12:40~2 a key."""

COORDINATE_DIGITS = 9
"""Decimals of a degree in GeoJSON and CSV: a tenth of a millimetre."""


class Sink(Protocol):
    """Where batches of layers go."""

    def write(self, layer: Layer, frame: gpd.GeoDataFrame) -> None:
        """Add rows to a layer."""

    def close(self) -> None:
        """Finish the files."""


class GeoPackageFile:
    """All layers in one file, each with a style that QGIS applies when it opens the layer."""

    def __init__(self, path: Path, descriptions: Mapping[LayerName, str]) -> None:
        self.path = path
        self.descriptions = dict(descriptions)
        self._densities: list[float] = []
        self._written: dict[LayerName, int] = {}

    def write(self, layer: Layer, frame: gpd.GeoDataFrame) -> None:
        pyogrio.write_dataframe(
            frame,
            self.path,
            driver="GPKG",
            layer=layer.name,
            geometry_type=layer.geometry,
            promote_to_multi=layer.geometry.startswith("Multi"),
            append=layer.name in self._written,
        )
        self._written[layer.name] = self._written.get(layer.name, 0) + len(frame)
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
                (name, f"pavemap {name}{suffix}", style, not suffix)
                for name in self._written
                for suffix, style in styles.get(name, [("", crack_style())])
            ],
        )
        describe(self.path, self.descriptions.items())
        if row_counts(self.path, self._written) != self._written:
            raise OSError("rows were lost")  # GDAL does not always say so


class GeoJsonFiles:
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
        with _closing(self._files.values()):
            for file in self._files.values():
                file.write("\n]}\n")


CSV_NUMBERS = "%.12g"
"""Digits that say something: of a kilometre a nanometre, and no 0.30000000000000004."""


class CsvFiles:
    """Spreadsheet tables (RFC 4180, UTF-8 with the mark that Excel knows it by).

    A point of each geometry is lon and lat (or x and y): within a polygon, near the middle of a line.
    """

    def __init__(self, targets: Mapping[LayerName, Path], place: tuple[str, str]) -> None:
        self._place = place
        self._files: dict[LayerName, IO[str]] = {
            name: path.open("w", encoding="utf-8-sig", newline="") for name, path in targets.items()
        }
        for name, file in self._files.items():
            csv.writer(file, lineterminator=CSV_LINE_END).writerow([*LAYERS[name].columns, *place])

    def write(self, layer: Layer, frame: gpd.GeoDataFrame) -> None:
        table = _without_formulas(pd.DataFrame(frame.drop(columns="geometry")))
        middle = shapely.point_on_surface(frame.geometry.to_numpy())
        x, y = self._place
        table[x] = np.round(shapely.get_x(middle), COORDINATE_DIGITS)
        table[y] = np.round(shapely.get_y(middle), COORDINATE_DIGITS)
        table.to_csv(
            self._files[layer.name],
            header=False,
            index=False,
            lineterminator=CSV_LINE_END,
            float_format=CSV_NUMBERS,
        )

    def close(self) -> None:
        with _closing(self._files.values()):
            pass


@contextmanager
def _closing(files: Iterable[IO[str]]) -> Iterator[None]:
    """Close files at the end, each of them, whatever becomes of the others."""
    with ExitStack() as open_files:
        for file in files:
            open_files.callback(file.close)
        yield


def _without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would work out: names are other people's."""
    texts = {
        name: table[name].str.replace(FORMULA, r"'\g<0>", regex=True)
        for name in table.columns
        if isinstance(table[name].dtype, pd.StringDtype)
    }
    return table.assign(**texts)


def _features(frame: gpd.GeoDataFrame) -> Iterator[dict[str, Any]]:
    rounded = shapely.transform(
        shapely.orient_polygons(frame.geometry.to_numpy()),  # RFC 7946, 3.1.6: counter-clockwise
        lambda points: np.round(points, COORDINATE_DIGITS),
    )
    properties = pd.DataFrame(frame.drop(columns="geometry")).astype(object)
    rows = properties.where(properties.notna(), None).to_dict("records")
    for geometry, row in zip(rounded, rows, strict=True):
        yield {"type": "Feature", "properties": row, "geometry": shapely.geometry.mapping(geometry)}
