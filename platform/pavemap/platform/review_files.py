"""Reviews as files for a GIS: cracks with a field `verdict` to fill in, and the areas looked at whole.

A file that is written here tells with each line which review it had then (`review_id`) and what the line
said (`exported`, the survey and a digest). So of a file that comes back only what was changed in it is
sent: the rest may have been judged otherwise by others meanwhile. Files of other origin, and those of
another survey, are sent whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pavemap.geo.arrays import object_array
from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput, PavemapError
from pavemap.geo.label_files import read_labels, width_of
from pavemap.geo.line_digest import line_digests
from pavemap.platform.geopackage import add_styles, has_pending_changes
from pavemap.platform.styling import area_style, review_style

LINES, AREAS = "cracks", "reviewed_areas"
"""Layers of a GeoPackage for reviewing."""

VERDICTS = ("confirmed", "rejected", "drawn")
BATCH = 1000
"""Features sent at once."""

LINE_COLUMNS = {
    "crack_id": "Int64",
    "verdict": "string",
    "width_mm": "Float64",
    "reviewer": "string",
    "note": "string",
    "length_m": "Float64",
    "confidence": "Float64",
    "model": "string",
    "review_id": "Int64",
    "exported": "string",
}
AREA_COLUMNS = {"reviewer": "string", "note": "string"}

Feature = dict[str, Any]


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
        together = _together(self.features)
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

    Of lines of one crack or review (one may have been copied, or split) all are read if one has changed.
    `reviewer` and `width_mm` hold where the file says nothing (its fields `reviewer`, and `width_mm` or
    `width_mean_mm`). Raises BadInput, naming the number of the feature from 1.
    """
    optional = (
        "crack_id",
        "width_mm",
        "width_mean_mm",
        "reviewer",
        "note",
        "review_id",
        "exported",
    )
    file = read_labels(
        path,
        layer=layer or _layer_of(path, LINES),
        columns=("verdict",),
        optional=optional,
        what="reviewed cracks",
    )
    lines = file.to(WGS84)
    exported = [_of_survey(each, survey_id) for each in file.column("exported")]
    columns = zip(
        lines,
        line_digests(lines),
        file.feature.tolist(),
        file.column("verdict"),
        file.column("crack_id"),
        file.column("width_mm", "width_mean_mm"),
        file.column("reviewer"),
        file.column("note"),
        file.column("review_id"),
        exported,
        strict=True,
    )
    features, changed = [], []
    for line, course, number, verdict, crack, width, by, why, review, before in columns:
        if verdict is None:
            continue
        properties = {
            "verdict": _verdict(verdict, number),
            "crack_id": _number(crack, number, "crack_id"),
            "width_mm": width_of(width, feature=number),
            "reviewer": str(by or ""),
            "note": str(why or ""),
        }
        changed.append(before != _said(properties, course, survey_id))
        if properties["verdict"] == "drawn":
            properties["crack_id"] = None
        properties["width_mm"] = properties["width_mm"] or width_mm
        properties["reviewer"] = properties["reviewer"] or reviewer
        follows = _number(review, number, "review_id")
        if before is not None and follows is not None:
            properties["review_id"] = follows
        if properties["width_mm"] is None and properties["crack_id"] is None:
            raise BadInput(
                f"feature #{number} has no width; fill in width_mm, or give one for all (--width-mm)"
            )
        features.append(_feature(line, properties, number))
    together = _together(features)
    sent = np.isin(together, together[np.array(changed, dtype=bool)])
    return ReviewFile(
        sorted((each for each, so in zip(features, sent, strict=True) if so), key=_crack_of),
        without_verdict=len(file.shapes) - len(features),
        as_exported=int((~sent).sum()),
        tells_exported=any(each is not None for each in exported),
    )


def read_areas(path: Path, *, layer: str | None = None, reviewer: str = "") -> list[Feature]:
    """Read polygons that were looked at whole. Raises BadInput."""
    file = read_labels(
        path,
        layer=layer or _layer_of(path, AREAS),
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
def told_by_file(batch: Sequence[Feature], *, stored: int) -> Iterator[None]:
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


def has_lines(path: Path) -> bool:
    """Tell whether there are lines to read; not so in a GeoPackage of ours whose cracks are none."""
    return _layer_of(path, LINES) is None or bool(_asked(path, f"SELECT 1 FROM {LINES} LIMIT 1"))


def has_areas(path: Path) -> bool:
    """Tell whether a file is a GeoPackage with a filled layer of reviewed areas."""
    return _layer_of(path, AREAS) is not None and bool(
        _asked(path, f"SELECT 1 FROM {AREAS} LIMIT 1")
    )


def write_review_file(
    path: Path,
    *,
    survey_id: str = "",
    cracks: Sequence[Feature],
    reviews: Sequence[Feature],
    areas: Sequence[Feature],
) -> int:
    """Write a GeoPackage to review in, with what was said before; return its number of lines.

    Takes features as the API gives them. A crack that was found again has the verdict of its former
    self. Raises BadInput for another suffix, or where there is a file already.
    """
    if path.suffix.lower() != ".gpkg":
        raise BadInput(f"'{path.name}' is no GeoPackage; end it in .gpkg")
    if path.exists():
        raise BadInput(f"{path} is there already; it may hold someone's verdicts, so name another")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"there is no folder {path.parent}; make it first")
    lines = _sealed(_joined(cracks, reviews), survey_id)
    with tempfile.TemporaryDirectory(prefix=".pavemap-", dir=path.absolute().parent) as folder:
        made = Path(folder) / path.name
        for layer, kind, found, columns in (
            (LINES, "LineString", lines, LINE_COLUMNS),
            (AREAS, "MultiPolygon", areas, AREA_COLUMNS),
        ):
            frame = _frame(found, columns)
            pyogrio.write_dataframe(frame, made, driver="GPKG", layer=layer, geometry_type=kind)
        styles = ((LINES, review_style()), (AREAS, area_style()))
        add_styles(made, [(layer, f"pavemap {layer}", style, True) for layer, style in styles])
        made.replace(path)
    return len(lines)


def _joined(cracks: Sequence[Feature], reviews: Sequence[Feature]) -> list[Feature]:
    """Return every crack with its verdict, and the reviewed lines that are no crack as it is now."""
    digests = dict(zip(line_digests(_shapes(reviews)), reviews, strict=True))
    numbers = {each["properties"]["crack_id"] for each in reviews}
    courses = {each["properties"].get("crack_digest") for each in reviews}
    now: dict[str, int] = {}
    joined: list[Feature] = []
    for crack, digest in zip(cracks, line_digests(_shapes(cracks)), strict=True):
        review = digests.pop(digest, None)
        if review is None and (crack["id"] in numbers or digest in courses):
            now[digest] = crack["id"]
            continue  # its line was changed, or cut: what it was changed to stands for it
        joined.append(_with_verdict(crack, review))
    return joined + [_renumbered(review, now) for review in digests.values()]


def _sealed(lines: Sequence[Feature], survey_id: str) -> list[Feature]:
    """Return lines that tell what they say, so that one which was changed afterwards is known."""
    sealed = []
    for line, course in zip(lines, line_digests(_shapes(lines)), strict=True):
        properties = line["properties"]
        exported = _said(properties, course, survey_id)
        sealed.append({**line, "properties": {**properties, "exported": exported}})
    return sealed


def _of_survey(exported: Any, survey_id: str) -> str | None:
    """Return what a line was when it was exported from this survey, or None where it was not."""
    return str(exported) if str(exported).startswith(f"{survey_id[:8]}:") else None


def _said(properties: Mapping[str, Any], course: str, survey_id: str) -> str:
    """Return a digest of what a line of a survey, with the digest of its course, says."""
    width_mm = properties.get("width_mm")
    said = [
        *(
            str(properties.get(name) or "").strip()
            for name in ("verdict", "crack_id", "reviewer", "note")
        ),
        "" if width_mm is None else f"{width_mm:.3f}",
        course,
    ]
    return f"{survey_id[:8]}:{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]}"


def _renumbered(review: Feature, now: Mapping[str, int]) -> Feature:
    """Return a review with the number that its crack has since the survey was measured again."""
    said = review["properties"]
    number = now.get(said.get("crack_digest") or "", said["crack_id"])
    return {**review, "properties": {**said, "crack_id": number, "review_id": review["id"]}}


def _with_verdict(crack: Feature, review: Feature | None) -> Feature:
    found = crack["properties"]
    said = {} if review is None else review["properties"]
    properties = {
        "crack_id": crack["id"],
        "width_mm": said.get("width_mm", found["width_mean_mm"]),
        "length_m": found["length_m"],
        "confidence": found.get("confidence"),
        "model": found["model"],
        "review_id": None if review is None else review["id"],
        **{name: said.get(name) for name in ("verdict", "reviewer", "note")},
    }
    return {**crack, "properties": properties}


def _frame(features: Sequence[Feature], columns: dict[str, str]) -> gpd.GeoDataFrame:
    rows = [each["properties"] for each in features]
    table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    return gpd.GeoDataFrame(table, geometry=_shapes(features), crs=WGS84)


def _shapes(features: Sequence[Feature]) -> NDArray[np.object_]:
    return object_array([shapely.geometry.shape(each["geometry"]) for each in features])


def _layer_of(path: Path, name: str) -> str | None:
    """Return the name of a layer where a file is a GeoPackage that has it."""
    if path.suffix.lower() != ".gpkg":
        return None
    return name if (name,) in _asked(path, "SELECT table_name FROM gpkg_contents") else None


def _asked(path: Path, question: str) -> list[tuple[Any, ...]]:
    """Ask a GeoPackage without GDAL, which looks into files before their format is checked."""
    # What a GIS has saved but not yet put into the file itself counts: then the file is not immutable.
    how = "mode=ro" if has_pending_changes(path) else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            return db.execute(question).fetchall()
    except sqlite3.Error:
        return []  # whoever reads it says what is wrong with it


def _feature(shape: shapely.Geometry, properties: dict[str, Any], number: int) -> Feature:
    """Make a GeoJSON feature whose id is its number in the file."""
    geometry = json.loads(shapely.to_geojson(shape))
    return {"type": "Feature", "id": number, "geometry": geometry, "properties": properties}


def _verdict(value: Any, number: int) -> str:
    verdict = str(value).strip().lower()
    if verdict not in VERDICTS:
        raise BadInput(
            f"feature #{number} has the verdict {verdict[:40]!r}; it may be {', '.join(VERDICTS)}, or "
            "empty for a crack that nobody judged"
        )
    return verdict


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


def _together(features: Sequence[Feature]) -> NDArray[np.int32]:
    """Number features (N,) alike that are of one crack or one review: those sent replace all the others."""
    first: dict[tuple[str, int], int] = {}
    links = [
        (number, first.setdefault((name, one), number))
        for number, feature in enumerate(features)
        for name in ("crack_id", "review_id")
        if (one := feature["properties"].get(name))
    ]
    ends = np.array(links, dtype=np.int32).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), ends), shape=(len(features), len(features)))
    number: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return number


def _crack_of(feature: Feature) -> int:
    """Return the number of a review's crack, 0 for none."""
    return int(feature["properties"]["crack_id"] or 0)
