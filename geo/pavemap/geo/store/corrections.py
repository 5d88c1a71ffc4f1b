"""A survey's cracks as its reviewers say they are: without what was rejected, with what was drawn.

A crack is known by its course. Where reviewers spoke of one, what stands are the lines that they
confirmed, as they run and as wide as they say, and whatever of it nobody spoke of. In figures that heed
reviews such a rest is a crack of its own, and may have been judged as one since. Drawn lines are cracks
that no model found.

A crack that came back otherwise counts as found until it is judged again; what was confirmed of its
former self does not count beside it.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Connection, text

from pavemap.geo.arrays import Geometries, object_array
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import Conflict
from pavemap.geo.grid import Grid
from pavemap.geo.lines.line_digest import line_digests
from pavemap.geo.lines.line_rests import rests_of
from pavemap.geo.lines.pieces import cut_by_segments
from pavemap.geo.stitching.stitch import Cracks
from pavemap.geo.store.imaged_pavement import imaged_pavement
from pavemap.geo.store.planning import set_running
from pavemap.geo.store.reviews import Heeded, ReviewRow, all_reviews, reviews_now
from pavemap.geo.store.surveys import SurveyRow, get_survey, lock_survey

ABOUT_A_LINE_M = 0.01
"""Ground about a drawn line that has to be imaged for the line to count."""


def heed_reviews(connection: Connection, survey_id: uuid.UUID, *, heed: bool) -> SurveyRow:
    """Have a survey's figures worked out as its reviews say, or again as they were found.

    So they are whenever it is measured, from now on. Figures that are so already are left alone.

    Raises NotFound, and Conflict for a survey that was never run, or of which nobody said anything.
    """
    survey = lock_survey(connection, survey_id)
    said = reviews_now(connection, survey_id)
    if survey.state == "created":
        raise Conflict(f"survey '{survey.name}' has no figures yet; run it first")
    if heed and not said.count:
        raise Conflict(
            f"survey '{survey.name}' has no reviews; send some (`pavemap review import`), or take its "
            "figures as they were found"
        )
    if survey.heeds_reviews == heed and not _is_outdated(survey, said if heed else None):
        return survey
    connection.execute(
        text("UPDATE survey SET heeds_reviews = :heed WHERE id = :id"),
        {"id": survey_id, "heed": heed},
    )
    set_running(connection, survey_id)
    return get_survey(connection, survey_id)


def _is_outdated(survey: SurveyRow, wanted: Heeded | None) -> bool:
    """Tell whether a survey, left alone, keeps or gets figures that heed other reviews than wanted."""
    if survey.state == "running":
        return False  # its figures will heed what is said when it is measured
    return survey.state != "done" or survey.heeded_digest != (wanted and wanted.digest)


@dataclass(frozen=True)
class Standing:
    """Cracks that count: (N,) LineString Z in the survey's CRS, and the same in degrees, to the last bit
    what a review of them had; the (N,) mean probability along each, NaN if not known; who found them."""

    lines: Geometries
    degrees: Geometries
    confidence: NDArray[np.float64]
    model_id: str | None

    def __len__(self) -> int:
        return len(self.lines)

    @classmethod
    def as_found(cls, cracks: Cracks, model_id: str, *, crs: CRS) -> Standing:
        """Take cracks as a model found them."""
        degrees = reproject(cracks.lines, crs, WGS84)
        return cls(cracks.lines, degrees, cracks.confidence, model_id)


@dataclass(frozen=True)
class Corrections:
    """What reviewers say of a survey's cracks.

    `heeded` tells which reviews these are; `about` has them by the course of the crack that they are
    about and by that of their own line; `drawn` are lines in degrees, z the width in millimetres.
    """

    heeded: Heeded
    about: Mapping[str, Sequence[ReviewRow]]
    drawn: Geometries

    @classmethod
    def read(cls, connection: Connection, survey_id: uuid.UUID) -> Corrections:
        """Read all reviews of a survey."""
        reviews = all_reviews(connection, survey_id)
        about: defaultdict[str, list[ReviewRow]] = defaultdict(list)
        for each in reviews:
            for course in {each.digest, each.crack_digest} - {None}:
                about[str(course)].append(each)
        drawn = object_array([each.line for each in reviews if each.verdict == "drawn"])
        return cls(Heeded.of([each.id for each in reviews]), about, drawn)

    def corrected(self, found: Standing, *, crs: CRS) -> Standing:
        """Return what stands of cracks (in a CRS): first those that are as they were found."""
        standing = {
            number: parts
            for number, course in enumerate(line_digests(found.degrees))
            if course in self.about
            and not _is(
                parts := self._standing(found.degrees[number], course), found.degrees[number]
            )
        }
        if not standing:
            return found
        as_found = np.setdiff1d(np.arange(len(found)), list(standing))
        of = np.array([number for number, parts in standing.items() for _ in parts], np.intp)
        degrees = object_array([part for parts in standing.values() for part in parts])
        return Standing(
            np.concatenate([found.lines[as_found], reproject(degrees, WGS84, crs)]),
            np.concatenate([found.degrees[as_found], degrees]),
            found.confidence[np.concatenate([as_found, of])],
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

    def _standing(
        self, line: shapely.LineString, course: str, met: frozenset[str] = frozenset()
    ) -> list[shapely.LineString]:
        """Return what stands of a line with a course; `met` are courses that led to it."""
        said = [] if course in met else self.about.get(course, [])
        if not said:
            return [line]
        confirmed = [each.line for each in said if each.verdict == "confirmed"]
        parts = object_array([*confirmed, *rests_of(line, [each.line for each in said])])
        return [
            standing
            for part, own in zip(parts, line_digests(parts), strict=True)
            for standing in self._standing(part, own, met | {course})
        ]


def _is(parts: Sequence[shapely.LineString], line: shapely.LineString) -> bool:
    """Tell whether what stands of a line is that line, widths and all."""
    if len(parts) != 1:
        return False
    points: list[NDArray[np.float64]] = [
        shapely.get_coordinates(each, include_z=True) for each in (parts[0], line)
    ]
    return np.array_equal(points[0], points[1])
