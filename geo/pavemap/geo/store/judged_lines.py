"""What reviewers leave of a line that was found: the lines they confirmed, and what nobody spoke of."""

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
"""Reviews by the course of their line, and by that of the crack which they are about, as it was found."""


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


def parts_left(line: shapely.LineString, course: str, about: Sequence[ReviewRow]) -> list[Part]:
    """Return what is left of a line with a course, of which something was said.

    A verdict on the whole of it and those on parts exclude each other; the last one tells which of them
    hold. Drawn lines speak of none but their own course, and are not among what is left.
    """
    about = [each for each in about if each.verdict != "drawn" or each.digest == course]
    last = max(about, key=lambda each: each.id, default=None)
    if last is not None and last.digest == course:
        return [Part(last.line, judged=True)] if last.verdict == "confirmed" else []
    parts = [each for each in about if each.digest != course]
    confirmed = [Part(each.line, judged=True) for each in parts if each.verdict == "confirmed"]
    return confirmed + [Part(rest) for rest in rests_of(line, [each.line for each in parts])]


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
    said, of_number = by_course(reviews), _by_number(reviews)
    left: list[shapely.LineString] = []
    for row, line, course in zip(rows, lines, line_digests(lines), strict=True):
        about = {each.id: each for each in (*said.get(course, ()), *of_number.get(row.id, ()))}
        parts = parts_left(line, course, list(about.values())) if about else [Part(line)]
        left += [part.line for part in parts if not part.judged]
    return object_array(left)


def _by_number(reviews: Iterable[ReviewRow]) -> Mapping[int, Sequence[ReviewRow]]:
    said: defaultdict[int, list[ReviewRow]] = defaultdict(list)
    for each in reviews:
        if each.crack_id is not None:
            said[each.crack_id].append(each)
    return said


# From the few areas to their cracks: the other way round it looks at every crack of the survey.
_IN_AREAS = text("""
    SELECT DISTINCT ON (c.id) c.id, ST_AsBinary(c.geom) AS line
    FROM reviewed_area a
    JOIN crack c ON c.survey_id = a.survey_id AND ST_DWithin(a.geom, c.geom, :reach_deg)
    WHERE a.survey_id = :survey_id ORDER BY c.id
""")
