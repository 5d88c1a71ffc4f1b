"""Reviews as they were sent: which lines and cracks they are about, and which earlier ones they replace."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from pavemap.geo.errors import BadInput
from pavemap.geo.lines.line_digest import line_digests
from pavemap.geo.lines.line_rests import rests_of, share_ground
from pavemap.geo.store.bulk import from_ewkb
from pavemap.geo.store.review_checks import (
    NewReview,
    as_wide,
    checked_line,
    mean_widths,
    nothing_said_of,
    with_width,
)

Place = set[int | str]
"""What a review is about: digests of courses, and the number of a crack."""


@dataclass(frozen=True)
class SentCrack:
    """A crack as it is now: its line (degrees), the digest of its course, its mean width.

    `found` is the digest of the course that it was found with; `drawn` says that no model found it.
    """

    line: shapely.LineString
    digest: str
    width_mm: float
    found: str
    drawn: bool


@dataclass(frozen=True)
class SentReviews:
    """Reviews with what is known of each: its line with widths, their mean, the digest of its course.

    `cracks` are those that they name and that are there, by number. `links` are the digests of the cracks
    that they are about, as these were found; None without one, or where nobody knows of it any more.
    """

    reviews: Sequence[NewReview]
    lines: NDArray[np.object_]
    widths: NDArray[np.float64]
    digests: Sequence[str]
    cracks: Mapping[int, SentCrack]
    links: Sequence[str | None]

    @classmethod
    def read(
        cls, connection: Connection, survey_id: uuid.UUID, reviews: Sequence[NewReview]
    ) -> Self:
        """Find the cracks that reviews name. Raises BadInput for a line that can't be used."""
        cracks = _cracks(connection, survey_id, reviews)
        lines = np.empty(len(reviews), dtype=object)
        links: list[str | None] = []
        for number, review in enumerate(reviews, 1):
            crack = None if review.crack_id is None else cracks.get(review.crack_id)
            lines[number - 1] = _line_of(review, crack, number)
            link = review.crack_digest if crack is None else crack.found
            links.append(None if review.verdict == "drawn" else link)
        return cls(reviews, lines, mean_widths(lines), line_digests(lines), cracks, links)

    @property
    def numbers(self) -> list[int]:
        """The numbers of cracks that are named."""
        return _numbers(self.reviews)

    @property
    def courses(self) -> list[str]:
        """The digests of all courses that they are about."""
        cracks = (crack.digest for crack in self.cracks.values())
        return [*self.digests, *cracks, *(link for link in self.links if link is not None)]

    def beside(self, known: Sequence[Row[Any]]) -> SentReviews:
        """Return them with what stored reviews of the same lines and cracks tell.

        Those know what a crack was whose number is gone. And a drawn line that is confirmed stays drawn, as
        no model found it: its reviews are of no crack that was found.
        """
        of_number = {row.crack_id: row.crack_digest for row in known if row.crack_id is not None}
        of_review = {key: row.crack_digest for row in known for key in (row.id, row.digest)}
        drawn = {
            key
            for row in known
            if row.verdict == "drawn" or not row.crack_digest
            for key in (row.id, row.digest)
        }
        reviews: list[NewReview] = []
        links: list[str | None] = []
        for number, review in enumerate(self.reviews):
            crack = self.cracks.get(review.crack_id or 0)
            was_drawn = not drawn.isdisjoint({self.digests[number], review.review_id})
            if review.verdict == "drawn" or (was_drawn if crack is None else crack.drawn):
                links.append(None)
                if review.verdict == "confirmed":
                    review = replace(review, verdict="drawn")
            else:
                former = of_number.get(review.crack_id) or of_review.get(review.review_id)
                links.append(self.links[number] or former or of_review.get(self.digests[number]))
            reviews.append(review)
        return replace(self, reviews=reviews, links=links)

    def replacing(
        self, known: Sequence[Row[Any]], numbers: Sequence[int]
    ) -> dict[int, list[Row[Any]]]:
        """Return, for those of given numbers, the stored reviews whose place each takes, or part of it.

        These are the one that it names, those of its very line, and those of its crack that speak of the
        same stretch.
        """
        by_id = {row.id: row for row in known}
        about: defaultdict[int | str, list[Row[Any]]] = defaultdict(list)
        for row in known:
            for key in {row.digest, row.crack_id, row.crack_digest} - {None}:
                about[key].append(row)
        found = {}
        for number in numbers:
            digest, named = self.digests[number], by_id.get(self.reviews[number].review_id)
            taken = {row.id: row for row in about.get(digest, ()) if row.digest == digest}
            if named is not None:
                taken[named.id] = named
            for row in (row for key in self._place(number) for row in about.get(key, ())):
                if row.id not in taken and share_ground(
                    shapely.from_wkb(row.line), self.lines[number]
                ):
                    taken[row.id] = row
            found[number] = list(taken.values())
        return found

    def rests(
        self, outdated: Mapping[int, Row[Any]], replacing: Mapping[int, Sequence[Row[Any]]]
    ) -> list[tuple[Row[Any], shapely.LineString]]:
        """Return what is left of outdated reviews where these speak of a part of their line alone."""
        named, lines = {each.review_id for each in self.reviews}, set(self.digests)
        by: defaultdict[int, list[shapely.LineString]] = defaultdict(list)
        for number, rows in replacing.items():
            for row in rows:
                by[row.id].append(self.lines[number])
        return [
            (row, rest)
            for row in outdated.values()
            if row.id not in named and row.digest not in lines
            for rest in rests_of(shapely.from_wkb(row.line), by[row.id], is_part=True)
        ]

    def overtaken(
        self, known: Sequence[Row[Any]], replacing: Mapping[int, Sequence[Row[Any]]]
    ) -> int:
        """Count those that follow what is gone by now, or take the place of what somebody else has said."""
        there = {None, *(row.id for row in known)}
        named = {each.review_id for each in self.reviews}
        return sum(
            self.reviews[number].review_id not in there or any(row.id not in named for row in rows)
            for number, rows in replacing.items()
        )

    def _place(self, number: int) -> Place:
        """Return what a review is about: its line, and the crack it names or is known to be of."""
        crack_id = self.reviews[number].crack_id
        crack = self.cracks.get(crack_id or 0)
        course = None if crack is None else crack.digest
        keys = (self.digests[number], crack_id, course, self.links[number])
        return {key for key in keys if key is not None}


def _cracks(
    connection: Connection, survey_id: uuid.UUID, reviews: Sequence[NewReview]
) -> dict[int, SentCrack]:
    asked = {"survey_id": survey_id, "ids": _numbers(reviews)}
    rows = connection.execute(_CRACKS, asked).all()
    lines = from_ewkb(np.array([row.line for row in rows], dtype=object))
    return {
        row.id: SentCrack(line, digest, row.width_mean_mm, row.found_digest or digest, row.drawn)
        for row, line, digest in zip(rows, lines, line_digests(lines), strict=True)
    }


def _numbers(reviews: Sequence[NewReview]) -> list[int]:
    return sorted({each.crack_id for each in reviews if each.crack_id is not None})


def _line_of(review: NewReview, crack: SentCrack | None, number: int) -> shapely.LineString:
    """Return the line of a review with its widths; of the very same course it is the crack's own."""
    if review.line is None:
        if crack is None:
            raise BadInput(nothing_said_of(review, number))
        return as_wide(crack.line, crack.width_mm, review.width_mm, number)
    line = checked_line(review.line, number)
    if crack is not None and line_digests(np.array([line], dtype=object)) == [crack.digest]:
        return as_wide(crack.line, crack.width_mm, review.width_mm, number)
    width_mm = review.width_mm or (None if crack is None else crack.width_mm)
    return with_width(line, width_mm, number)


_CRACKS = text("""
    SELECT id, ST_AsBinary(geom) AS line, width_mean_mm, found_digest, model_id IS NULL AS drawn
    FROM crack WHERE survey_id = :survey_id AND id = ANY(:ids)
""")
