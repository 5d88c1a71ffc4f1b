"""What reviewers leave of a line that was found: the lines they confirmed, and what nobody spoke of.

A crack is known by its course. What nobody spoke of is a crack of its own in figures that heed reviews, and
may have been judged as one since; so may a line that was moved.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from pavemap.geo.arrays import object_array
from pavemap.geo.lines.line_digest import line_digests
from pavemap.geo.lines.line_rests import rests_of
from pavemap.geo.store.bulk import from_ewkb
from pavemap.geo.store.reviews import ReviewRow

REACH_DEG = 2e-6
"""Some 20 cm: how far from its line a crack may reach into an area."""

Said = Mapping[str, Sequence[ReviewRow]]
"""Reviews by the course of the crack that they are about, and by that of their own line."""


@dataclass(frozen=True)
class Part:
    """A line (degrees, z the width in millimetres), and whether somebody confirmed it."""

    line: shapely.LineString
    judged: bool = False


def by_course(reviews: Iterable[ReviewRow]) -> Said:
    """Return what was said of each course."""
    said: defaultdict[str, list[ReviewRow]] = defaultdict(list)
    for each in reviews:
        for course in {each.digest, each.crack_digest} - {None}:
            said[str(course)].append(each)
    return dict(said)


def parts_left(
    part: Part, course: str, said: Said, met: frozenset[str] = frozenset()
) -> list[Part]:
    """Return what is left of a line with a course; `met` are the courses that led to it.

    Drawn lines are not among it: no model found them.
    """
    about = [] if course in met else said.get(course, [])
    if not about:
        return [part]
    confirmed = [Part(each.line, judged=True) for each in about if each.verdict == "confirmed"]
    rests = [Part(line) for line in rests_of(part.line, [each.line for each in about])]
    parts = [*confirmed, *rests]
    courses = line_digests(object_array([each.line for each in parts]))
    return [
        left
        for each, own in zip(parts, courses, strict=True)
        for left in parts_left(each, own, said, met | {course})
    ]


def unjudged_cracks(
    connection: Connection, survey_id: uuid.UUID, reviews: Sequence[ReviewRow]
) -> NDArray[np.object_]:
    """Return the cracks in reviewed areas, or at their edge, of which nobody said anything.

    LineString Z in degrees, z the width in millimetres. A crack that was found again, the same under
    another number, is known by its course. Of one that was judged in part, the rest.
    """
    parameters = {"survey_id": survey_id, "reach_deg": REACH_DEG}
    rows = connection.execute(_IN_AREAS, parameters).all()
    lines = from_ewkb(np.array([row.line for row in rows], dtype=object))
    said = by_course(reviews)
    left = (
        part
        for line, course in zip(lines, line_digests(lines), strict=True)
        for part in parts_left(Part(line), course, said)
    )
    return object_array([part.line for part in left if not part.judged])


# From the few areas to their cracks: the other way round it looks at every crack of the survey.
_IN_AREAS = text("""
    SELECT DISTINCT ON (c.id) c.id, ST_AsBinary(c.geom) AS line
    FROM reviewed_area a
    JOIN crack c ON c.survey_id = a.survey_id AND ST_DWithin(a.geom, c.geom, :reach_deg)
    WHERE a.survey_id = :survey_id ORDER BY c.id
""")
