"""A file to review in is written page by page: of any number of cracks, and over nobody's work."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.ops import substring

from line_features import line_feature
from pavemap.geo.errors import BadInput
from pavemap.geo.lines.line_digest import line_digests
from pavemap.platform.reviews.review_export import write_review_file

SURVEY = "0b1c2d3e-0000-4000-8000-000000000000"
SAID = {"reviewer": "Ada", "note": "", "width_mm": 5.0}


class Feature(dict[str, Any]):
    """A feature that can be watched."""


def course(number: int, *, north: float = 0.0) -> shapely.LineString:
    east = 14.0 + number / 1000
    return shapely.LineString([(east, 50.0 + north), (east + 0.0001, 50.0001 + north)])


def crack(number: int) -> Feature:
    return Feature(line_feature(number, course(number), length_m=9.0, model="m", width_mean_mm=4.0))


def test_a_page_of_cracks_is_held_at_a_time(tmp_path: Path) -> None:
    watched: list[weakref.ref[Feature]] = []
    held: list[int] = []

    def pages() -> Iterator[list[Feature]]:
        for first in range(0, 40, 4):
            page = [crack(number) for number in range(first, first + 4)]
            watched.extend(weakref.ref(each) for each in page)
            held.append(sum(each() is not None for each in watched))
            yield page

    assert write_review_file(tmp_path / "a.gpkg", cracks=pages(), reviews=[], areas=[]) == 40
    assert max(held) <= 2 * 4, "a page, and the one before it"
    assert gpd.read_file(tmp_path / "a.gpkg", layer="cracks")["crack_id"].tolist() == [*range(40)]


def test_pages_of_any_size_make_the_same_file(tmp_path: Path) -> None:
    """Of 20 cracks 3 is judged, 5 was moved, 17 was cut as number 7, and 8 is drawn and no crack."""
    (digest,) = line_digests(np.array([course(17)], dtype=object))
    cut = {"crack_id": 7, "crack_digest": digest}
    reviews = [
        line_feature(10, course(3), verdict="confirmed", crack_id=3, **SAID),
        line_feature(11, course(5, north=0.1), verdict="confirmed", crack_id=5, **SAID),
        line_feature(12, course(17, north=0.1), verdict="rejected", **SAID, **cut),
        line_feature(13, course(8, north=0.2), verdict="drawn", crack_id=None, **SAID),
    ]
    found = []
    for size in (20, 6, 1):
        path = tmp_path / f"{size}.gpkg"
        pages = (
            [crack(n) for n in range(20)[first : first + size]] for first in range(0, 20, size)
        )
        assert write_review_file(
            path, survey_id=SURVEY, cracks=pages, reviews=reviews, areas=[]
        ) == len(gpd.read_file(path, layer="cracks"))
        with closing(sqlite3.connect(path)) as package:
            rows = package.execute("SELECT * FROM cracks ORDER BY fid").fetchall()
            near = package.execute("SELECT count(*) FROM rtree_cracks_geom").fetchone()
            styles = package.execute("SELECT f_table_name FROM layer_styles").fetchall()
        assert (near, styles) == ((len(rows),), [("cracks",), ("reviewed_areas",)])
        found.append(rows)
    assert found[0] == found[1] == found[2]
    lines = gpd.read_file(tmp_path / "1.gpkg", layer="cracks")
    judged = lines[lines["verdict"].notna()]
    assert judged["crack_id"].fillna(0).tolist() == [3, 5, 17, 0]
    assert judged["review_id"].tolist() == [10, 11, 12, 13]
    # Number 7 stays out too: by its number alone it may be what was cut.
    assert sorted(set(range(20)) - set(lines["crack_id"].dropna())) == [7]


def test_a_file_that_is_there_is_refused_before_a_crack_is_asked_for(tmp_path: Path) -> None:
    def pages() -> Iterator[list[Feature]]:
        pytest.fail("asked for")
        yield []

    path = tmp_path / "a.gpkg"
    path.touch()
    with pytest.raises(BadInput, match="is there already"):
        write_review_file(path, cracks=pages(), reviews=[], areas=[])


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"

    def pages() -> Iterator[list[Feature]]:
        yield [crack(1)]
        path.write_text("somebody's")

    with pytest.raises(BadInput, match="is there already"):
        write_review_file(path, cracks=pages(), reviews=[], areas=[])
    assert path.read_text() == "somebody's"
    assert list(tmp_path.iterdir()) == [path]


def test_the_rest_of_a_crack_that_was_judged_in_part_is_there_to_be_judged(tmp_path: Path) -> None:
    whole = course(4)
    (digest,) = line_digests(np.array([whole], dtype=object))
    half = cast(shapely.LineString, substring(whole, 0.0, 0.4, normalized=True))
    said = {"crack_id": 2, "crack_digest": digest}
    reviews = [line_feature(10, half, verdict="rejected", **SAID, **said)]
    path = tmp_path / "a.gpkg"
    assert write_review_file(path, cracks=[[crack(4)]], reviews=reviews, areas=[]) == 2
    rest, judged = gpd.read_file(path, layer="cracks").itertuples()
    assert (judged.verdict, judged.crack_id, judged.review_id) == ("rejected", 4, 10)
    assert pd.isna(rest.verdict)
    assert (rest.crack_id, rest.crack_digest) == (4, digest)
    assert rest.geometry.length == pytest.approx(0.6 * whole.length)
    assert rest.length_m == pytest.approx(0.6 * 9.0)


def test_a_crack_is_told_by_the_course_it_was_found_with(tmp_path: Path) -> None:
    moved = crack(1)
    moved["properties"]["found_digest"] = "ab" * 32
    path = tmp_path / "a.gpkg"
    write_review_file(path, cracks=[[crack(0), moved]], reviews=[], areas=[])
    (own,) = line_digests(np.array([course(0)], dtype=object))
    assert gpd.read_file(path, layer="cracks")["crack_digest"].tolist() == [own, "ab" * 32]


def test_of_a_crack_that_was_moved_along_itself_no_stub_is_listed(tmp_path: Path) -> None:
    """Its review is known by the number and by the course; it is one all the same."""
    (digest,) = line_digests(np.array([course(4)], dtype=object))
    moved = shapely.affinity.translate(course(4), 0.00001, 0.00001)
    said = {"crack_id": 4, "crack_digest": digest}
    reviews = [line_feature(10, moved, verdict="confirmed", **SAID, **said)]
    path = tmp_path / "a.gpkg"
    assert write_review_file(path, cracks=[[crack(4)]], reviews=reviews, areas=[]) == 1
