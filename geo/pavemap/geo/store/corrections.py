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


@dataclass(frozen=True)
class Standing:
    """Cracks that count: (N,) LineString Z in the survey's CRS, and the same in degrees.

    Those of a review are in degrees what they are there, to the last bit: its line is known by them.
    `confidence` (N,) is the mean probability along each, NaN if not known; `judged` (N,) says that its line
    is a reviewer's; `found_digest` (N,) is that of the crack it was found as, None where it is that one;
    `model_id` found them, if any did.
    """

    lines: Geometries
    degrees: Geometries
    confidence: NDArray[np.float64]
    judged: NDArray[np.bool_]
    found_digest: NDArray[np.object_]
    model_id: str | None

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, index: NDArray[np.intp]) -> Standing:
        """Return those of an index."""
        return Standing(
            self.lines[index],
            self.degrees[index],
            self.confidence[index],
            self.judged[index],
            self.found_digest[index],
            self.model_id,
        )

    def __add__(self, other: Standing) -> Standing:
        return Standing(
            np.concatenate([self.lines, other.lines]),
            np.concatenate([self.degrees, other.degrees]),
            np.concatenate([self.confidence, other.confidence]),
            np.concatenate([self.judged, other.judged]),
            np.concatenate([self.found_digest, other.found_digest]),
            self.model_id,
        )

    @classmethod
    def as_found(cls, cracks: Cracks, model_id: str, *, crs: CRS) -> Standing:
        """Take cracks as a model found them."""
        degrees = reproject(cracks.lines, crs, WGS84)
        judged = np.zeros(len(cracks), np.bool_)
        nothing = np.full(len(cracks), None, object)
        return cls(cracks.lines, degrees, cracks.confidence, judged, nothing, model_id)


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
        left: list[tuple[int, Part, str]] = []
        for number, course in enumerate(line_digests(found.degrees)):
            if course not in self.said:
                continue
            parts = parts_left(found.degrees[number], course, self.said[course])
            if not _is(parts, found.degrees[number]):
                changed.append(number)
                left += [(number, part, course) for part in parts]
        if not changed:
            return found
        degrees = object_array([part.line for _, part, _ in left])
        parts_of_cracks = Standing(
            reproject(degrees, WGS84, crs),
            degrees,
            found.confidence[np.array([number for number, _, _ in left], np.intp)],
            np.array([part.judged for _, part, _ in left], np.bool_),
            object_array([course for _, _, course in left]),
            found.model_id,
        )
        return found.at(np.setdiff1d(np.arange(len(found)), changed)) + parts_of_cracks

    def drawn_cracks(self, *, crs: CRS) -> Standing:
        """Return the drawn lines."""
        count = len(self.drawn)
        return Standing(
            reproject(self.drawn, WGS84, crs),
            self.drawn,
            np.full(count, np.nan),
            np.ones(count, np.bool_),
            np.full(count, None, object),
            None,
        )


def on_imaged_ground(
    connection: Connection, survey_id: uuid.UUID, lines: Geometries, *, grid: Grid
) -> tuple[NDArray[np.intp], Geometries]:
    """Return what of lines (grid's CRS) lies on imaged ground: the index of the line of each piece, and it.

    That ground is known to a pixel, so it may begin a pixel earlier.
    """
    about = shapely.buffer(lines, grid.gsd_m, quad_segs=2)
    imaged = imaged_pavement(connection, survey_id, about, grid=grid)
    whole = shapely.area(imaged) > (1.0 - 1e-9) * shapely.area(about)
    of, found = [np.flatnonzero(whole)], [lines[whole]]
    for number in np.flatnonzero(~whole):
        ground = shapely.buffer(imaged[[number]], grid.gsd_m, quad_segs=2)
        _, _, pieces = cut_by_segments(lines[[number]], ground)
        of.append(np.full(len(pieces), number))
        found.append(pieces)
    return np.concatenate(of), np.concatenate(found)


def _is(parts: list[Part], line: shapely.LineString) -> bool:
    """Tell whether what is left of a line is that line, widths and all."""
    return len(parts) == 1 and bool(shapely.equals_identical(parts[0].line, line))
