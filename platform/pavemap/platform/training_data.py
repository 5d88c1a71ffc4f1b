"""Makes training data of a survey's reviews."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from pyproj import CRS
from sqlalchemy import Connection, Engine

from pavemap.geo.arrays import Objects, object_array
from pavemap.geo.crs import WGS84, ground_scale, reproject
from pavemap.geo.errors import Conflict
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.labels.ground_labels import GroundLabels, Layer
from pavemap.geo.labels.label_files import VERDICTS
from pavemap.geo.labels.labelled_chips import chip_grid, cut_chips, labelled_cells
from pavemap.geo.labels.small_parts import in_small_parts
from pavemap.geo.limits import CHIP_PX
from pavemap.geo.lines.line_digest import digest_of_all
from pavemap.geo.storage import Storage
from pavemap.geo.store import heeded_reviews, judged_lines, orthophotos, reviews
from pavemap.geo.store.engine import database
from pavemap.geo.store.heeded_reviews import Heeded
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.geo.store.places import search_area
from pavemap.geo.store.reviews import AreaRow, ReviewRow
from pavemap.geo.store.surveys import SurveyRow, get_survey
from pavemap.training.data.pair_folder import Files, LabelledFile, packed

BESIDE_DEG = 1e-4
"""Some 10 m: reviewed ground is cut no nearer to imagery, where straight edges in degrees would show."""

MOST_OF_IMAGERY = 1 / 8
"""Of the footprints: to unite so many for one area costs more than to cut it by all, united once."""


@dataclass(frozen=True)
class Reviewed:
    """What is stored of a survey's reviews; lines and areas are in degrees."""

    survey: SurveyRow
    areas: list[AreaRow]
    reviews: list[ReviewRow]
    unjudged: Objects
    photos: list[OrthophotoRow]

    def labels(self, crs: CRS) -> GroundLabels:
        """Return it as labels in a metric CRS, of the areas what is near imagery."""
        footprints = object_array([photo.info.footprint for photo in self.photos])
        areas = near_imagery(object_array([each.area for each in self.areas]), footprints)

        def said(verdict: str) -> Layer:
            lines = [each.line for each in self.reviews if each.verdict == verdict]
            return Layer(reproject(object_array(lines), WGS84, crs))

        return GroundLabels(
            areas=Layer(in_small_parts(reproject(areas, WGS84, crs))),
            drawn=said("drawn"),
            confirmed=said("confirmed"),
            rejected=said("rejected"),
            unjudged=Layer(reproject(self.unjudged, WGS84, crs)),
        )


def training_files(
    engine: Engine, storage: Storage, survey_id: uuid.UUID, *, chip_px: int = CHIP_PX
) -> Files:
    """Yield the files of the training data that a survey's reviews make, the manifest last.

    They are a function of the reviews, the cracks that nobody judged, and the imagery. Memory is that of
    the lines and of one chip. Raises NotFound, Conflict where no area was reviewed, BadTrainingData
    where nothing is imaged there, and what reading imagery raises.
    """
    with database(engine) as connection:
        known = _reviewed(connection, survey_id)
    survey = known.survey
    grid = chip_grid(survey.grid(), chip_px=chip_px)
    labels = known.labels(grid.crs)
    paths = [photo.info.at(storage.gdal_path(photo.key)) for photo in known.photos]
    options = storage.gdal_environment()
    mosaic = Mosaic(paths, grid.crs, gdal_options=options, stretch=survey.stretch_ends)
    chips = (LabelledFile.of_chip(chip) for chip in cut_chips(labels, grid=grid, mosaic=mosaic))
    yield from packed(chips, source=_source(known, labels, grid), gsd_m=_gsd_m(labels, grid))


def near_imagery(areas: Objects, footprints: Objects) -> Objects:
    """Return polygons cut to what lies near the footprints of imagery, all in degrees; many may be none.

    So what is made of an area of any size, a country's even, is bounded by the imagery.
    """
    buffered = shapely.buffer(footprints, BESIDE_DEG, join_style="mitre")
    around = object_array([search_area(each) for each in buffered])
    imagery = shapely.union_all(around)
    shapely.prepare(imagery)
    whole = shapely.covers(imagery, areas)
    parts = shapely.get_parts(_cut(areas[~whole], around, imagery))
    return np.concatenate([areas[whole], parts[shapely.area(parts) > 0.0]])


def _reviewed(connection: Connection, survey_id: uuid.UUID) -> Reviewed:
    survey = get_survey(connection, survey_id)
    areas = reviews.all_areas(connection, survey_id)
    if not areas:
        raise Conflict(
            f"no area of survey '{survey.name}' was reviewed whole, so it is not known where there is no "
            "crack; add the areas in which every crack is confirmed or drawn (`pavemap review import "
            "--areas`, POST /api/v1/surveys/{id}/reviewed-areas)"
        )
    said = reviews.all_reviews(connection, survey_id)
    if heeded_reviews.is_outdated(survey, Heeded.of([each.id for each in said])):
        raise Conflict(
            f"the reviews of survey '{survey.name}' are not those that its cracks heed; apply them again "
            "(`pavemap review apply`), or take its cracks as they were found (`--undo`)"
        )
    unjudged = judged_lines.unjudged_cracks(connection, survey_id, said)
    photos = orthophotos.list_orthophotos(connection, survey_id)
    return Reviewed(survey, areas, said, unjudged, photos)


def _cut(areas: Objects, around: Objects, imagery: shapely.Geometry) -> Objects:
    """Return of each polygon what lies in the imagery, the union of what is around its footprints.

    All imagery for each area would be their product, so an area is cut by what it meets.
    """
    area_of, met = shapely.STRtree(around).query(areas, predicate="intersects")
    most = MOST_OF_IMAGERY * len(around)
    cut = []
    bounds = np.searchsorted(area_of, np.arange(len(areas) + 1))
    for area, (start, stop) in zip(areas, pairwise(bounds), strict=True):
        near = imagery if stop - start > most else shapely.union_all(around[met[start:stop]])
        cut.append(shapely.intersection(area, near))
    return object_array(cut)


def _gsd_m(labels: GroundLabels, grid: Grid) -> float | None:
    """Return the pixel in true metres in the middle of the areas; None where there are none."""
    middle = shapely.union_all(labels.areas.shapes).centroid
    if middle.is_empty:
        return None
    return round(grid.gsd_m / ground_scale(grid.crs, middle.x, middle.y), 6)


def _source(known: Reviewed, labels: GroundLabels, grid: Grid) -> dict[str, Any]:
    """Say what a set is made of: only what lies in the areas, or can be seen in their chips."""
    survey = known.survey
    tree = shapely.STRtree(object_array([each.area for each in known.areas]))
    lines = object_array([each.line for each in known.reviews])
    within = set(tree.query(lines, predicate="intersects")[0].tolist())
    used = [known.reviews[number] for number in sorted(within)]
    counts = Counter(each.verdict for each in used)
    return {
        "kind": "survey",
        "survey": {
            "id": str(survey.id),
            "name": survey.name,
            "captured_on": None if survey.captured_on is None else survey.captured_on.isoformat(),
            "model": survey.model_id,
            "crs": survey.crs,
            "gsd_in_crs_m": survey.gsd_m,
        },
        "chip_px": grid.cell_px,
        "orthophotos": _seen(known.photos, labels, grid),
        "areas": {
            "ids": [each.id for each in known.areas],
            "sha256": digest_of_all([each.digest for each in known.areas]),
        },
        "reviews": {
            "ids": [each.id for each in used],
            **{verdict: counts[verdict] for verdict in VERDICTS},
            "sha256": digest_of_all([f"{each.verdict} {_digest(each.line)}" for each in used]),
            "outside_areas": len(known.reviews) - len(used),
        },
        "unjudged": {
            "count": len(known.unjudged),
            "sha256": digest_of_all([_digest(line) for line in known.unjudged]),
        },
    }


def _seen(photos: list[OrthophotoRow], labels: GroundLabels, grid: Grid) -> list[dict[str, str]]:
    """Return name and SHA-256 of the imagery that meets a chip, by name."""
    windows = object_array([grid.window(cell).box() for cell in labelled_cells(labels, grid)])
    outlines = object_array([photo.info.outline(grid.crs) for photo in photos])
    seen = np.unique(shapely.STRtree(windows).query(outlines, predicate="intersects")[0])
    named = sorted((photos[number].name, photos[number].sha256) for number in seen.tolist())
    return [{"name": name, "sha256": sha256} for name, sha256 in named]


def _digest(line: shapely.Geometry) -> str:
    """Return the SHA-256 of a line with its widths."""
    return hashlib.sha256(shapely.to_wkb(line, byte_order=1, output_dimension=3)).hexdigest()
