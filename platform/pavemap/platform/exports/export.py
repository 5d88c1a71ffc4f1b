"""Writes segments and cracks batch by batch to GeoPackage, GeoJSON or CSV, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import geopandas as gpd
import pandas as pd
import shapely
from pyproj import CRS

from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.geo.scratch import beside
from pavemap.platform.exports.export_files import CsvFiles, GeoJsonFiles, GeoPackageFile, Sink
from pavemap.platform.exports.export_layers import LAYERS, Layer, LayerName
from pavemap.platform.exports.geopackage import added_by_others, has_pending_changes
from pavemap.platform.exports.output_files import check_output, writing
from pavemap.platform.exports.text_tables import columns_beyond

DEGREES, PLANE = ("lon", "lat"), ("x", "y")
"""The last two columns of a CSV: where a feature lies."""


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
        inputs: Sequence[Path | None] = (),
    ) -> None:
        """Take the file to make, its layers, and the CRS of what will be written.

        `descriptions` say what a layer is; only a GeoPackage has room for them. Raises BadInput when
        the file's suffix or folder won't do, when a file to write is a folder or one of the `inputs`, and
        for one that another program has open or that holds what someone added: verdicts on cracks,
        layers, QGIS projects.
        """
        self.path = path
        self.descriptions = dict(descriptions or {})
        self._crs = crs
        self.layers = [LAYERS[name] for name in layers]
        self._format = format_of(path)
        for file in self.files:
            check_output(file)
        self._refuse_open()
        self._refuse_inputs([each for each in inputs if each is not None])
        self._refuse_loss()

    @property
    def files(self) -> list[Path]:
        """The files that the export consists of."""
        if self._format == "gpkg":
            return [self.path]
        return [self._file_of(layer) for layer in self.layers]

    def __enter__(self) -> Self:
        """Open temporary files beside the target. Raises BadInput as `write` does."""
        with ExitStack() as work, writing(self.path):
            self._folder = work.enter_context(beside(self.path))
            self._sink = self._open()
            for layer in self.layers:
                self._sink.write(layer, _shaped(layer, gpd.GeoDataFrame(geometry=[]), self._crs))
            self._work = work.pop_all()
        return self

    def write(self, name: LayerName, frame: gpd.GeoDataFrame) -> None:
        """Add rows (in the export's CRS); columns not of the layer are left out, missing ones null.

        Raises BadInput when they can't be written, as on a full disk.
        """
        if len(frame):
            shaped = _shaped(LAYERS[name], frame, self._crs)
            with writing(self.path):
                self._sink.write(LAYERS[name], shaped)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the files in place, or remove them after an error. Raises BadInput as `write` does."""
        with self._work, writing(self.path):
            self._sink.close()
            if kind is None:
                self._refuse_open()
                for file in self.files:
                    (self._folder / file.name).replace(file)

    def _refuse_open(self) -> None:
        """Another program's changes would be taken for changes to the file that takes its place."""
        if self._format == "gpkg" and has_pending_changes(self.path):
            raise BadInput(
                f"{self.path} is open in another program, or was when that fell; close it there (after a "
                "fall open it once more, and close it), or name another file"
            )

    def _refuse_inputs(self, inputs: Sequence[Path]) -> None:
        read = {each.resolve() for each in inputs}
        for file in self.files:
            if file.resolve() in read:
                raise BadInput(
                    f"{file} is read by this command and would be overwritten by it; name another file"
                )

    def _refuse_loss(self) -> None:
        for file in self.files:
            if added := self._added_by_others(file):
                raise BadInput(
                    f"{file} holds what someone added ({', '.join(added[:5])}), which would be lost; name "
                    "another file, or move that one away"
                )

    def _added_by_others(self, file: Path) -> list[str]:
        if self._format == "gpkg":
            return added_by_others(file, {str(name): each.columns for name, each in LAYERS.items()})
        places = () if self._format == "geojson" else (*DEGREES, *PLANE)
        known = {column for each in LAYERS.values() for column in each.columns}
        return columns_beyond(file, known.union(places))

    def _file_of(self, layer: Layer) -> Path:
        if layer is self.layers[0]:
            return self.path
        return self.path.with_stem(f"{self.path.stem}_{layer.name}")

    def _open(self) -> Sink:
        if self._format == "gpkg":
            return GeoPackageFile(self._folder / self.path.name, self.descriptions)
        targets = {layer.name: self._folder / self._file_of(layer).name for layer in self.layers}
        if self._format == "geojson":
            return GeoJsonFiles(targets)
        return CsvFiles(targets, DEGREES if self._crs.is_geographic else PLANE)


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


def _shaped(layer: Layer, frame: gpd.GeoDataFrame, crs: CRS) -> gpd.GeoDataFrame:
    """Return exactly the layer's columns in its types, and flat geometry."""
    table = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    columns = table.reindex(columns=list(layer.columns)).astype(dict(layer.columns))
    flat = shapely.force_2d(frame.geometry.to_numpy())
    return gpd.GeoDataFrame(columns, geometry=flat, crs=crs)
