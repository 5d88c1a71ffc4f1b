"""Makes training data of lines or polygons over GeoTIFFs: labels of any GIS, in any CRS.

With a field `verdict`, as reviewed cracks have, it is what a survey's reviews make: confirmed and drawn
are crack, rejected are sound, and of lines without a verdict nothing is taught. Without it all are crack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.arrays import Objects, object_array
from pavemap.geo.crs import crs_text, ground_scale, gsd_in_crs
from pavemap.geo.errors import BadInput
from pavemap.geo.file_digest import file_digest
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.orthophoto import Orthophoto, metric_crs
from pavemap.geo.imagery.tiles import inspect_tiles
from pavemap.geo.labels.ground_labels import GroundLabels, Layer
from pavemap.geo.labels.label_files import (
    VERDICTS,
    WIDTH_FIELDS,
    LabelFile,
    read_labels,
    verdict_of,
    width_of,
)
from pavemap.geo.labels.labelled_chips import chip_grid, cut_chips
from pavemap.geo.labels.small_parts import in_small_parts
from pavemap.geo.limits import CHIP_PX
from pavemap.training.data.pair_folder import Files, LabelledFile, packed

KINDS = (*VERDICTS, "unjudged")


@dataclass(frozen=True)
class GisLabels:
    """What to read, and how.

    labels: GeoPackage, GeoJSON, zipped Shapefile or GeoParquet of lines, polygons or both.
    width_field: of lines, in millimetres; by default `width_mm` or `width_mean_mm`. width_mm: of lines
    that state none. areas: a file of polygons that were labelled whole; by default all the imagery is.
    gsd_m: true metres a pixel; by default the finest imagery's.
    """

    labels: Path
    layer: str | None = None
    width_field: str | None = None
    width_mm: float | None = None
    areas: Path | None = None
    areas_layer: str | None = None
    gsd_m: float | None = None
    chip_px: int = CHIP_PX


def gis_files(what: GisLabels, tiles: Sequence[Path]) -> Files:
    """Yield the files of a set made of labels over GeoTIFFs, the manifest last.

    Memory is that of the labels and of one chip. Raises BadInput for labels that can't be used, and for
    imagery what `inspect_tiles` does; BadTrainingData where nothing is labelled.
    """
    if not tiles:
        raise BadInput("there is no imagery; name GeoTIFFs that the labels lie on")
    photos = inspect_tiles(tiles)
    crs = metric_crs(photos[0])
    named = (what.width_field,) if what.width_field else ()
    file = read_labels(
        what.labels,
        layer=what.layer,
        columns=named,
        optional=("verdict", *WIDTH_FIELDS),
        shapes="line or polygon",
    )
    outlines = object_array([photo.outline(crs) for photo in photos])
    ground = shapely.union_all(outlines)
    middle = ground.centroid
    pixel_m = _pixel(what.gsd_m, photos, crs, middle)
    grid = chip_grid(Grid(crs, pixel_m), chip_px=what.chip_px)
    labels = _labels(what, file, crs=crs, imaged=outlines)
    shapes = [layer.shapes for layer in (labels.drawn, labels.confirmed, labels.rejected)]
    if not any(map(len, shapes)):
        raise BadInput(
            f"no label of '{what.labels.name}' has a verdict yet; set the field verdict to drawn, "
            "confirmed or rejected, or take it out where all labels are cracks"
        )
    if not shapely.intersects(np.concatenate(shapes), ground).any():
        raise BadInput(
            f"no label of '{what.labels.name}' lies on the imagery; do both say the right CRS?"
        )
    chips = cut_chips(labels, grid=grid, mosaic=Mosaic(photos, crs))
    source = {
        "kind": "gis",
        "labels": _named(what.labels),
        "areas": None if what.areas is None else _named(what.areas),
        "orthophotos": sorted((_named(path) for path in tiles), key=lambda each: each["sha256"]),
        "crs": crs_text(crs),
        "gsd_in_crs_m": grid.gsd_m,
        "chip_px": grid.cell_px,
    }
    true_gsd_m = grid.gsd_m / ground_scale(crs, middle.x, middle.y)
    return packed(
        (LabelledFile.of_chip(chip) for chip in chips), source=source, gsd_m=round(true_gsd_m, 6)
    )


def _labels(what: GisLabels, file: LabelFile, *, crs: CRS, imaged: Objects) -> GroundLabels:
    shapes = file.to(crs)
    is_line = shapely.get_dimensions(shapes) == 1
    shapes[is_line] = _with_widths(what, file, shapes, is_line)
    kinds = _kinds(file)
    areas = imaged  # one by one: united, all of it would be painted for every chip
    if what.areas is not None:
        told = read_labels(
            what.areas, layer=what.areas_layer, shapes="polygon", what="labelled areas"
        )
        areas = in_small_parts(np.asarray(shapely.make_valid(told.to(crs)), dtype=object))
    layers = {kind: Layer(shapes[kinds == kind]) for kind in KINDS}
    return GroundLabels(areas=Layer(areas), **layers)


def _kinds(file: LabelFile) -> NDArray[np.object_]:
    """Return what each shape is: of a file without verdicts all are drawn."""
    if not any(str(name).lower() == "verdict" for name in file.columns):
        return np.full(len(file.shapes), "drawn", dtype=object)
    kinds = np.full(len(file.shapes), "unjudged", dtype=object)
    said = zip(file.column("verdict"), file.feature.tolist(), strict=True)
    for number, (value, feature) in enumerate(said):
        if value is not None:
            kinds[number] = verdict_of(value, feature=feature)
    return kinds


def _with_widths(
    what: GisLabels, file: LabelFile, shapes: Objects, is_line: NDArray[np.bool_]
) -> Objects:
    """Return the lines with their width as z."""
    fields = (what.width_field,) if what.width_field else WIDTH_FIELDS
    told = file.column(*fields)
    lines = []
    for number in np.flatnonzero(is_line).tolist():
        feature = int(file.feature[number])
        width_mm = width_of(told[number], feature=feature) or what.width_mm
        if width_mm is None:
            raise BadInput(
                f"feature #{feature} is a line without a width; name the field that has it, in "
                "millimetres (--width-field), or one width for all (--width-mm)"
            )
        points = shapely.get_coordinates(shapes[number])
        z = np.full(len(points), width_mm)
        lines.append(shapely.LineString(np.column_stack([points, z])))
    return object_array(lines)


def _pixel(
    gsd_m: float | None, photos: Sequence[Orthophoto], crs: CRS, middle: shapely.Point
) -> float:
    """Return the pixel in metres of the CRS: the one asked for, or the finest imagery's own."""
    finest = min(photos, key=lambda photo: photo.gsd_m)
    along, across = abs(finest.transform.a), abs(finest.transform.e)
    upright = finest.crs == crs and finest.transform.b == finest.transform.d == 0.0
    if gsd_m is None and upright and math.isclose(along, across):
        return along  # so that nothing is resampled but, at most, shifted
    return gsd_in_crs(gsd_m or finest.gsd_m, crs, middle.x, middle.y)


def _named(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": file_digest(path)}
