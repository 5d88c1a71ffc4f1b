"""Reads cracks with verdicts, and areas looked at whole, from files of a GIS, ready to be sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput, PavemapError
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
        *("reviewer", "note", "review_id", "exported"),
    )
    file = read_labels(
        path,
        layer=layer or layer_of_lines(path),
        columns=("verdict",),
        optional=optional,
        what="reviewed cracks",
    )
    _refuse_without_line(file)
    lines = file.to(WGS84)
    exported = [of_survey(each, survey_id) for each in file.column("exported")]
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
        exported,
        strict=True,
    )
    features, changed = [], []
    for line, course, number, verdict, crack, width, by, why, review, found, before in columns:
        if verdict is None:
            continue
        properties = {
            "verdict": verdict_of(verdict, feature=number),
            "crack_id": _number(crack, number, "crack_id"),
            "width_mm": width_of(width, feature=number),
            "reviewer": str(by or ""),
            "note": str(why or ""),
        }
        changed.append(before != said_by(properties, course, survey_id))
        follows = _number(review, number, "review_id")
        if before is not None and follows is not None:
            properties["review_id"] = follows
        exported_crack = before is not None and properties["verdict"] != "drawn"
        if exported_crack and re.fullmatch(DIGEST, str(found)):
            properties["crack_digest"] = str(found)
        complete = _completed(properties, number, reviewer=reviewer, width_mm=width_mm)
        features.append(_feature(line, complete, number))
    together = _together(features, "review_id")
    sent = np.isin(together, together[np.array(changed, dtype=bool)])
    return ReviewFile(
        sorted((each for each, so in zip(features, sent, strict=True) if so), key=_crack_of),
        without_verdict=len(file.shapes) + len(file.without_shape) - len(features),
        as_exported=int((~sent).sum()),
        tells_exported=any(each is not None for each in exported),
    )


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


def _together(features: Sequence[Feature], *names: str) -> NDArray[np.int32]:
    """Number features (N,) alike that are of one crack or of one review."""
    first: dict[tuple[str, int], int] = {}
    links = [
        (number, first.setdefault((name, one), number))
        for number, feature in enumerate(features)
        for name in names
        if (one := feature["properties"].get(name))
    ]
    ends = np.array(links, dtype=np.int32).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), ends), shape=(len(features), len(features)))
    number: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return number


def _crack_of(feature: Feature) -> int:
    """Return the number of a review's crack, 0 for none."""
    return int(feature["properties"]["crack_id"] or 0)
