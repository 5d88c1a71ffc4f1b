"""A survey's cracks as its reviewers say they are: without what was rejected, with what was drawn.

Of a crack that reviewers spoke of stand the lines that they confirmed, as they run and as wide as they say,
and what nobody spoke of (`judged_lines`). Drawn lines are cracks that no model found.

A crack that came back otherwise counts as found until it is judged again; what was confirmed of its
former self does not count beside it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Connection

from pavemap.geo.arrays import Geometries, object_array
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.lines.line_digest import line_digests
from pavemap.geo.lines.pieces import cut_by_segments
from pavemap.geo.stitching.stitch import Cracks
from pavemap.geo.store.heeded_reviews import Heeded
from pavemap.geo.store.imaged_pavement import imaged_pavement
from pavemap.geo.store.judged_lines import Part, Said, by_course, parts_left
from pavemap.geo.store.reviews import all_reviews

ABOUT_A_LINE_M = 0.01
"""Ground about a drawn line that has to be imaged for the line to count."""


@dataclass(frozen=True)
class Standing:
    """Cracks that count: (N,) LineString Z in the survey's CRS, and the same in degrees.

    Those of a review are in degrees what they are there, to the last bit: its line is known by them.
    `confidence` (N,) is the mean probability along each, NaN if not known; `model_id` found them, if any.
    """

    lines: Geometries
    degrees: Geometries
    confidence: NDArray[np.float64]
    model_id: str | None

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, index: NDArray[np.intp]) -> Standing:
        """Return those of an index."""
        return Standing(
            self.lines[index], self.degrees[index], self.confidence[index], self.model_id
        )

    @classmethod
    def as_found(cls, cracks: Cracks, model_id: str, *, crs: CRS) -> Standing:
        """Take cracks as a model found them."""
        degrees = reproject(cracks.lines, crs, WGS84)
        return cls(cracks.lines, degrees, cracks.confidence, model_id)


@dataclass(frozen=True)
class Corrections:
    """What reviewers say of a survey's cracks.

    `heeded` tells which reviews these are, `drawn` are the lines (degrees, z the width in millimetres) of
    those that drew a crack.
    """

    heeded: Heeded
    said: Said
    drawn: Geometries

    @classmethod
    def read(cls, connection: Connection, survey_id: uuid.UUID) -> Corrections:
        """Read all reviews of a survey."""
        reviews = all_reviews(connection, survey_id)
        drawn = object_array([each.line for each in reviews if each.verdict == "drawn"])
        return cls(Heeded.of([each.id for each in reviews]), by_course(reviews), drawn)

    def corrected(self, found: Standing, *, crs: CRS) -> Standing:
        """Return what stands of cracks (in a CRS): first those that are as they were found."""
        changed: list[int] = []
        left: list[shapely.LineString] = []
        of: list[int] = []
        for number, course in enumerate(line_digests(found.degrees)):
            line = found.degrees[number]
            parts = [part.line for part in parts_left(Part(line), course, self.said)]
            if len(parts) != 1 or not shapely.equals_identical(parts[0], line):
                changed.append(number)
                left += parts
                of += [number] * len(parts)
        if not changed:
            return found
        as_found = np.setdiff1d(np.arange(len(found)), changed)
        degrees = object_array(left)
        return Standing(
            np.concatenate([found.lines[as_found], reproject(degrees, WGS84, crs)]),
            np.concatenate([found.degrees[as_found], degrees]),
            found.confidence[np.concatenate([as_found, np.array(of, np.intp)])],
            found.model_id,
        )

    def drawn_cracks(self, connection: Connection, survey_id: uuid.UUID, *, grid: Grid) -> Standing:
        """Return the drawn lines as far as they lie on imaged ground."""
        lines = reproject(self.drawn, WGS84, grid.crs)
        about = shapely.buffer(lines, ABOUT_A_LINE_M, quad_segs=2)
        imaged = imaged_pavement(connection, survey_id, about, grid=grid)
        of, ground, parts = cut_by_segments(lines, imaged)
        of, parts = of[of == ground], parts[of == ground]
        degrees = reproject(parts, grid.crs, WGS84)
        whole = shapely.equals_identical(parts, lines[of])
        degrees[whole] = self.drawn[of[whole]]
        return Standing(parts, degrees, np.full(len(parts), np.nan), None)
