"""Reviews and areas as they are sent: what is wrong with them is told, and lines get their widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.errors import BadInput
from pavemap.geo.limits import MAX_WIDTH_MM
from pavemap.geo.verdict import Verdict

ROUNDED_MM, ROUNDED = 0.06, 0.01
"""What rounding on the way through a file may change of a width, in millimetres and as a share."""
MAX_VERTICES = 20_000


@dataclass(frozen=True, kw_only=True)
class NewReview:
    """What is said of a line.

    With `crack_id` it is about that crack; `line` and `width_mm` may then be left out. A line (degrees)
    that is not the crack's own says how it should run; one without its z has `width_mm` all along.
    `crack_digest` is that of the crack's course as it was found, for when its number is gone. `review_id`
    is the review that this one follows, which may be gone by now.
    """

    verdict: Verdict
    crack_id: int | None = None
    crack_digest: str | None = None
    line: shapely.LineString | None = None
    width_mm: float | None = None
    reviewer: str = ""
    note: str = ""
    review_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class NewArea:
    """Ground (degrees) that was looked at whole."""

    area: shapely.Polygon | shapely.MultiPolygon
    reviewer: str = ""
    note: str = ""


def checked_areas(areas: Sequence[NewArea]) -> NDArray[np.object_]:
    """Return areas (degrees) as MultiPolygons (N,). Raises BadInput for one that is none."""
    shapes = np.empty(len(areas), dtype=object)
    for number, each in enumerate(areas, 1):
        shape, what = shapely.force_2d(each.area), f"area #{number}"
        if not isinstance(shape, shapely.Polygon | shapely.MultiPolygon) or shape.is_empty:
            raise BadInput(f"{what} is no Polygon or MultiPolygon; send each area as one")
        points = shapely.get_coordinates(shape)
        if len(points) > MAX_VERTICES:
            raise BadInput(f"{what} has over {MAX_VERTICES:,} vertices; simplify it")
        _check_degrees(points, what)
        if not shape.is_valid:
            raise BadInput(f"{what} crosses itself ({shapely.is_valid_reason(shape)}); mend it")
        shapes[number - 1] = (
            shape if isinstance(shape, shapely.MultiPolygon) else shapely.MultiPolygon([shape])
        )
    return shapes


def refuse_contradiction(reviews: Sequence[NewReview], digests: Sequence[str]) -> None:
    """Raise BadInput where the same line, told by its digest, is judged in two ways."""
    first: dict[str, int] = {}
    for number, digest in enumerate(digests):
        before = first.setdefault(digest, number)
        if reviews[before].verdict != reviews[number].verdict:
            raise BadInput(
                f"reviews #{before + 1} and #{number + 1} are the same line, once "
                f"{reviews[before].verdict}, once {reviews[number].verdict}; leave one of them out"
            )


def nothing_said_of(review: NewReview, number: int) -> str:
    """Say why a review without a line is of nothing; `number` counts from 1."""
    if review.crack_id is None:
        return f"review #{number} has neither a line nor the number of a crack; give it one of them"
    return (
        f"review #{number}: the survey has no crack {review.crack_id} (measuring again numbers cracks "
        "anew); send the line along, or take the number from the survey's cracks"
    )


def checked_line(line: shapely.Geometry, number: int) -> shapely.LineString:
    """Return the line of a review. Raises BadInput for what is no line in degrees."""
    if not isinstance(line, shapely.LineString) or line.is_empty:
        raise BadInput(f"review #{number} is no LineString; send each line as one")
    points = shapely.get_coordinates(line)
    if len(points) > MAX_VERTICES:
        raise BadInput(f"review #{number} has over {MAX_VERTICES:,} vertices; simplify the line")
    _check_degrees(points, f"review #{number}")
    if not line.length > 0.0:
        raise BadInput(f"review #{number} is a line without length; leave it out")
    return line


def as_wide(
    crack: shapely.LineString, mean_mm: float, wanted_mm: float | None, number: int
) -> shapely.LineString:
    """Return a crack's line with its own widths, which say more than their mean, or with another mean.

    Raises BadInput for a width that none has.
    """
    ends = {mean_mm, float(mean_widths(np.array([crack], dtype=object))[0])}
    if wanted_mm is None or any(
        abs(wanted_mm - mean) <= max(ROUNDED_MM, ROUNDED * mean) for mean in ends
    ):
        return crack
    plain = with_width(crack, wanted_mm, number)
    points = shapely.get_coordinates(crack, include_z=True)
    if not mean_mm > 0.0:
        return plain
    points[:, 2] *= wanted_mm / mean_mm
    return shapely.LineString(points)


def with_width(line: shapely.LineString, width_mm: float | None, number: int) -> shapely.LineString:
    """Return a line whose z is its width in millimetres. Raises BadInput without one, or for a bad one."""
    if width_mm is None:
        raise BadInput(f"review #{number} has no width; give it width_mm, in millimetres")
    if not 0.0 < width_mm <= MAX_WIDTH_MM:
        raise BadInput(
            f"review #{number} is {width_mm:g} mm wide; give it more than 0, at most {MAX_WIDTH_MM:g}"
        )
    points = shapely.get_coordinates(line)
    return shapely.LineString(np.column_stack([points, np.full(len(points), width_mm)]))


def mean_widths(lines: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return (N,) the mean z along lines in degrees."""
    points, line = shapely.get_coordinates(lines, include_z=True, return_index=True)
    east = np.cos(np.radians(points[:, 1]))[1:]
    steps = np.hypot(np.diff(points[:, 0]) * east, np.diff(points[:, 1]))
    steps[line[1:] != line[:-1]] = 0.0
    middle = (points[1:, 2] + points[:-1, 2]) / 2.0
    total = np.bincount(line[1:], steps * middle, minlength=len(lines))
    length = np.bincount(line[1:], steps, minlength=len(lines))
    return np.asarray(total / length, np.float64)


def _check_degrees(points: NDArray[np.float64], what: str) -> None:
    lon, lat = np.abs(points).T
    if not (np.isfinite(points).all() and lon.max() <= 360.0 and lat.max() <= 90.0):
        raise BadInput(f"{what} is not in degrees, longitude first (RFC 7946); reproject it")
