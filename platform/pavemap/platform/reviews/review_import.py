"""Reads cracks with verdicts, and areas looked at whole, from files of a GIS, ready to be sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely

from pavemap.geo.arrays import Integers
from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput, PavemapError
from pavemap.geo.groups import groups
from pavemap.geo.labels.label_files import (
    WIDTH_FIELDS,
    LabelFile,
    read_labels,
    verdict_of,
    width_of,
)
from pavemap.geo.lines.line_digest import DIGEST, line_digests
from pavemap.platform.reviews.review_file import AREAS, Feature, of_survey, said_by
from pavemap.platform.reviews.review_layers import layer_of, layer_of_lines

BATCH = 1000
"""Features sent at once."""


@dataclass(frozen=True)
class ReviewFile:
    """GeoJSON features to send, and how many of the file were left out: without verdict, or as exported."""

    features: list[Feature]
    without_verdict: int
    as_exported: int = 0
    tells_exported: bool = False
    """Whether it was exported to be reviewed, and so knows what was said before."""

    def batches(self) -> Iterator[list[Feature]]:
        """Yield them in batches; what replaces the same reviews together, as they go at once."""
        together = _together(self.features, "crack_id", "review_id")
        order = np.argsort(together, kind="stable").tolist()
        batch: list[Feature] = []
        for _, numbers in groupby(order, key=together.__getitem__):
            group = [self.features[number] for number in numbers]
            if batch and len(batch) + len(group) > BATCH:
                yield batch
                batch = []
            batch += group
        if batch:
            yield batch


def read_reviews(
    path: Path,
    *,
    survey_id: str = "",
    layer: str | None = None,
    reviewer: str = "",
    width_mm: float | None = None,
) -> ReviewFile:
    """Read lines with a field `verdict`; those where it is empty are left out, and those as exported.

    Of lines of one review (its line may have been copied, or split) all are read if one has changed.
    `reviewer` and `width_mm` hold where the file says nothing (its fields `reviewer`, and `width_mm` or
    `width_mean_mm`). Raises BadInput, naming the number of the feature from 1, and where the layer must
    be chosen.
    """
    optional = (
        "crack_id",
        "crack_digest",
        *WIDTH_FIELDS,
        *("reviewer", "note", "model", "review_id", "exported"),
    )
    file = read_labels(
        path,
        layer=layer or layer_of_lines(path),
        columns=("verdict",),
        optional=optional,
        what="reviewed cracks",
    )
    _refuse_without_line(file)
    rows = _rows(file, survey_id)
    features, changed = [], []
    for row in (each for each in rows if each.verdict is not None):
        properties = _said(row)
        sent_as = {**properties, **_about(row, properties)}
        complete = _completed(sent_as, row.number, reviewer=reviewer, width_mm=width_mm)
        features.append(_feature(row.line, complete, row.number))
        changed.append(row.exported != said_by(properties, row.course, survey_id))
    together = _together(features, "review_id")
    sent = np.isin(together, together[np.array(changed, dtype=bool)])
    return ReviewFile(
        sorted((each for each, so in zip(features, sent, strict=True) if so), key=_crack_of),
        without_verdict=len(file.shapes) + len(file.without_shape) - len(features),
        as_exported=int((~sent).sum()),
        tells_exported=any(row.exported is not None for row in rows),
    )


class _Row(NamedTuple):
    """A line of a file, and what its fields say.

    course: the digest of the line. exported: what this survey's export said, None where it didn't.
    of_no_crack: whether the file says that no crack was found there.
    """

    line: shapely.Geometry
    course: str
    number: int
    verdict: Any
    crack_id: Any
    width: Any
    reviewer: Any
    note: Any
    review_id: Any
    crack_digest: Any
    of_no_crack: bool
    exported: str | None


def _rows(file: LabelFile, survey_id: str) -> list[_Row]:
    lines = file.to(WGS84)
    columns = zip(
        lines,
        line_digests(lines),
        file.feature.tolist(),
        file.column("verdict"),
        file.column("crack_id"),
        file.column(*WIDTH_FIELDS),
        file.column("reviewer"),
        file.column("note"),
        file.column("review_id"),
        file.column("crack_digest"),
        _of_no_crack(file),
        [of_survey(each, survey_id) for each in file.column("exported")],
        strict=True,
    )
    return [_Row(*each) for each in columns]


def _said(row: _Row) -> dict[str, Any]:
    """Read what a line's fields say of it. Raises BadInput, naming its number."""
    return {
        "verdict": verdict_of(row.verdict, feature=row.number),
        "crack_id": _number(row.crack_id, row.number, "crack_id"),
        "width_mm": width_of(row.width, feature=row.number),
        "reviewer": str(row.reviewer or ""),
        "note": str(row.note or ""),
    }


def _about(row: _Row, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an exported line is about: the review that it follows, and the crack as found."""
    follows = _number(row.review_id, row.number, "review_id")
    if row.exported is None:
        return {}
    about: dict[str, Any] = {} if follows is None else {"review_id": follows}
    if said["verdict"] != "drawn":
        if re.fullmatch(DIGEST, str(row.crack_digest)):
            about["crack_digest"] = str(row.crack_digest)
        elif row.of_no_crack and said["verdict"] == "confirmed":
            about["verdict"] = "drawn"  # as it was, whatever became of its review since
    return about


def read_areas(path: Path, *, layer: str | None = None, reviewer: str = "") -> list[Feature]:
    """Read polygons that were looked at whole. Raises BadInput."""
    file = read_labels(
        path,
        layer=layer or layer_of(path, AREAS),
        optional=("reviewer", "note"),
        shapes="polygon",
        what="reviewed areas",
    )
    said = zip(
        file.to(WGS84),
        file.feature.tolist(),
        file.column("reviewer"),
        file.column("note"),
        strict=True,
    )
    return [
        _feature(area, {"reviewer": str(by or reviewer), "note": str(why or "")}, number)
        for area, number, by, why in said
    ]


@contextmanager
def errors_by_feature(batch: Sequence[Feature], *, stored: int) -> Iterator[None]:
    """Let a server's error name features of a batch by their numbers in the file they were read from.

    `stored` features were sent before, which any error then says.
    """
    try:
        yield
    except PavemapError as exc:
        said = in_file(str(exc), batch) if isinstance(exc, BadInput) else str(exc)
        before = f" (features stored before: {stored:,})" if stored else ""
        raise type(exc)(said + before) from exc


def in_file(message: str, batch: Sequence[Feature]) -> str:
    """Return a message with the numbers of features in their file for those in a batch.

    The server's own checks count from 1 ("review #1"), those of its schema from 0 ("features/0/...").
    """
    message = re.sub(r"\b(?:review|area)(s?) #", r"feature\1 #", message)
    message = re.sub(r"\bfeatures/(\d+)/", lambda at: f"feature #{int(at[1]) + 1} ", message)
    return re.sub(r"#(\d+)", lambda at: f"#{batch[int(at[1]) - 1]['id']}", message)


def _refuse_without_line(file: LabelFile) -> None:
    """Raise BadInput for a verdict on nothing: a crack's number alone may be another's by now."""
    if numbers := file.shapeless("verdict"):
        raise BadInput(
            f"feature #{numbers[0]} has a verdict but no line; draw it again or take it from a new "
            "`review export`, or empty its verdict"
        )


def _of_no_crack(file: LabelFile) -> list[bool]:
    """Tell of each line whether it says that no crack was found there: it has neither digest nor model."""
    if not file.has("crack_digest"):
        return [False] * len(file.shapes)  # its name may have been too long for the format
    of_crack = file.column("crack_digest", "model")
    return [each is None for each in of_crack]


def _feature(shape: shapely.Geometry, properties: dict[str, Any], number: int) -> Feature:
    """Make a GeoJSON feature whose id is its number in the file."""
    geometry = json.loads(shapely.to_geojson(shape))
    return {"type": "Feature", "id": number, "geometry": geometry, "properties": properties}


def _completed(
    properties: dict[str, Any], number: int, *, reviewer: str, width_mm: float | None
) -> dict[str, Any]:
    """Return what a line says, with what holds where it says nothing. Raises BadInput without a width."""
    found = {
        **properties,
        "crack_id": None if properties["verdict"] == "drawn" else properties["crack_id"],
        "width_mm": properties["width_mm"] or width_mm,
        "reviewer": properties["reviewer"] or reviewer,
    }
    if found["width_mm"] is None and found["crack_id"] is None:
        raise BadInput(
            f"feature #{number} has no width; fill in width_mm, or give one for all (--width-mm)"
        )
    return found


def _number(value: Any, number: int, what: str) -> int | None:
    if value is None:
        return None
    try:
        read = int(float(value))  # programs write whole numbers as 7.0 where some are missing
    except (TypeError, ValueError, OverflowError) as exc:
        raise BadInput(
            f"feature #{number} has the {what} {str(value)[:40]!r}; it is a number, or empty"
        ) from exc
    return read if read > 0 else None


def _together(features: Sequence[Feature], *names: str) -> Integers:
    """Number features (N,) alike that are of one crack or of one review."""
    first: dict[tuple[str, int], int] = {}
    links = [
        (number, first.setdefault((name, one), number))
        for number, feature in enumerate(features)
        for name in names
        if (one := feature["properties"].get(name))
    ]
    return groups(np.array(links, dtype=np.int64).reshape(-1, 2), len(features))


def _crack_of(feature: Feature) -> int:
    """Return the number of a review's crack, 0 for none."""
    return int(feature["properties"]["crack_id"] or 0)
