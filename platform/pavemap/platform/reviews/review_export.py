"""Writes reviews as files for a GIS: cracks with a field `verdict` to fill in, areas looked at whole.

Cracks may be millions and go page by page; what people said of them is held in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import object_array
from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.geo.lines.line_digest import line_digests
from pavemap.geo.lines.line_rests import rests_of
from pavemap.geo.scratch import beside
from pavemap.platform.exports.geopackage import add_styles
from pavemap.platform.exports.output_files import check_output, writing
from pavemap.platform.exports.styling import area_style, review_style
from pavemap.platform.reviews.review_file import AREAS, LINES, Feature, said_by

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
    "crack_digest": "string",
    "exported": "string",
}
AREA_COLUMNS = {"reviewer": "string", "note": "string"}
TABLES = {LINES: ("LineString", LINE_COLUMNS), AREAS: ("MultiPolygon", AREA_COLUMNS)}
"""Geometry and columns by layer."""


def write_review_file(
    path: Path,
    *,
    survey_id: str = "",
    cracks: Iterable[Sequence[Feature]],
    reviews: Sequence[Feature],
    areas: Sequence[Feature],
) -> int:
    """Write a GeoPackage to review in, with what was said before; return its number of lines.

    Takes features as the API gives them, cracks page by page; they are asked for once it is known that
    the file can be made. A crack that was found again has the verdict of its former self. Raises
    BadInput for another suffix, or where there is a file already.
    """
    if path.suffix.lower() != ".gpkg":
        raise BadInput(f"'{path.name}' is no GeoPackage; end it in .gpkg")
    _refuse_there(path)
    check_output(path)
    count = 0
    with beside(path) as folder:
        made = folder / path.name
        with writing(path):
            _add(made, LINES, [])
            _add(made, AREAS, areas)
        for lines in _joined(cracks, reviews):
            with writing(path):
                _add(made, LINES, _sealed(lines, survey_id), append=True)
            count += len(lines)
        with writing(path):
            styles = ((LINES, review_style()), (AREAS, area_style()))
            add_styles(made, [(layer, f"pavemap {layer}", style, True) for layer, style in styles])
            _refuse_there(path)
            made.replace(path)
    return count


def _refuse_there(path: Path) -> None:
    if path.exists():
        raise BadInput(f"{path} is there already; it may hold someone's verdicts, so name another")


def _add(file: Path, layer: str, features: Sequence[Feature], *, append: bool = False) -> None:
    """Write features as a layer of a GeoPackage, or append them to it."""
    kind, columns = TABLES[layer]
    frame = _frame(features, columns)
    pyogrio.write_dataframe(
        frame, file, driver="GPKG", layer=layer, geometry_type=kind, append=append
    )


def _joined(
    cracks: Iterable[Sequence[Feature]], reviews: Sequence[Feature]
) -> Iterator[list[tuple[Feature, str]]]:
    """Yield pages of cracks with their verdicts, last the reviewed lines that are no crack as it is now.

    Each with the digest of its course.
    """
    digests = dict(zip(line_digests(_shapes(reviews)), reviews, strict=True))
    about, courses = _by_crack(reviews), set(digests)
    now: dict[str, int] = {}
    for page in cracks:
        joined: list[tuple[Feature, str]] = []
        for crack, digest in zip(page, line_digests(_shapes(page)), strict=True):
            review = digests.pop(digest, None)
            said = [*about.get(crack["id"], ()), *about.get(digest, ())]
            if review is None and said:
                now[digest] = crack["id"]
                joined += _unjudged(crack, said, digest)
            elif review is not None or crack["properties"].get("found_digest") not in courses:
                joined.append((_with_verdict(crack, review, digest), digest))
            # else the crack that it is a part of was judged since: that is listed
        yield joined
    yield [(_renumbered(review, now), digest) for digest, review in digests.items()]


def _by_crack(reviews: Sequence[Feature]) -> Mapping[int | str, list[Feature]]:
    """Return reviews by the number of their crack, and by the digest of its course."""
    about: defaultdict[int | str, list[Feature]] = defaultdict(list)
    for each in reviews:
        said = each["properties"]
        for key in (said["crack_id"], said.get("crack_digest")):
            if key is not None:
                about[key].append(each)
    return about


def _unjudged(crack: Feature, said: Sequence[Feature], digest: str) -> list[tuple[Feature, str]]:
    """Return what nobody spoke of in a crack that was judged in part, each with its digest."""
    if crack["properties"]["model"] is None:
        return []  # drawn lines are what their reviews say
    (line,) = _shapes([crack])
    once = {id(each): each for each in said}  # some are known by number and by course
    rests = object_array(rests_of(line, list(_shapes(list(once.values())))))
    return [
        (_with_verdict(_part(crack, rest, rest.length / line.length), None, digest), course)
        for rest, course in zip(rests, line_digests(rests), strict=True)
    ]


def _part(crack: Feature, line: shapely.LineString, share: float) -> Feature:
    length_m = crack["properties"]["length_m"] * share
    geometry = shapely.geometry.mapping(line)
    return {
        **crack,
        "geometry": geometry,
        "properties": {**crack["properties"], "length_m": length_m},
    }


def _sealed(lines: Sequence[tuple[Feature, str]], survey_id: str) -> list[Feature]:
    """Return lines that tell what they say, so that one which was changed afterwards is known."""
    sealed = []
    for line, course in lines:
        properties = line["properties"]
        exported = said_by(properties, course, survey_id)
        sealed.append({**line, "properties": {**properties, "exported": exported}})
    return sealed


def _renumbered(review: Feature, now: Mapping[str, int]) -> Feature:
    """Return a review with the number that its crack has since the survey was measured again."""
    said = review["properties"]
    number = now.get(said.get("crack_digest") or "", said["crack_id"])
    return {**review, "properties": {**said, "crack_id": number, "review_id": review["id"]}}


def _with_verdict(crack: Feature, review: Feature | None, digest: str) -> Feature:
    """Return a crack, whose course has a digest, with what was said of it."""
    found = crack["properties"]
    said = {} if review is None else review["properties"]
    properties = {
        "crack_id": crack["id"],
        "width_mm": said.get("width_mm", found["width_mean_mm"]),
        "length_m": found["length_m"],
        "confidence": found.get("confidence"),
        "model": found["model"],
        "crack_digest": None if found["model"] is None else found.get("found_digest") or digest,
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
