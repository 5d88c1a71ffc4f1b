"""Reviews: each line once, the last word counts, and measuring a survey again loses none."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.store import cells, crack_pages, leases, measuring, reviews, surveys
from pavemap.geo.store.engine import database
from pavemap.geo.store.judged_lines import unjudged_cracks
from pavemap.geo.store.review_checks import NewArea, NewReview
from pavemap.geo.store.review_intake import Added, add_areas, add_reviews
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.verdict import Verdict

Ids = NDArray[np.int64]


def measure(connection: Connection, survey: SurveyRow, segments: Ids) -> crack_pages.CrackRow:
    """Survey all cells and measure; the road has one crack, along its centre-line."""
    for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=1000):
        result = scene.found_in(claimed.cell, segments)
        assert cells.complete(connection, claimed=claimed, result=result, worker="w")
    assert measuring.measure_survey(connection, surveys.get_survey(connection, survey.id))
    (crack,), _ = crack_pages.cracks_page(connection, survey.id)
    return crack


def measure_again(connection: Connection, survey: SurveyRow, segments: Ids) -> crack_pages.CrackRow:
    """Have all cells surveyed anew, with the same result: the same line under another number."""
    connection.execute(text("UPDATE cell SET state = 'waiting', attempts = 0"))
    surveys.set_state(connection, survey.id, "running")
    return measure(connection, survey, segments)


def ground(*points: tuple[float, float]) -> shapely.LineString:
    """A line in degrees through points in metres from the road's corner."""
    line = shapely.LineString([(scene.X + x, scene.Y + y) for x, y in points])
    return reproject(line, scene.UTM, WGS84)


def square(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    box = shapely.box(scene.X + west, scene.Y + south, scene.X + east, scene.Y + north)
    return reproject(box, scene.UTM, WGS84)


def stored(connection: Connection, survey: SurveyRow) -> list[reviews.ReviewRow]:
    return reviews.all_reviews(connection, survey.id)


def test_a_verdict_on_a_crack_keeps_the_cracks_line_and_widths(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with database(engine) as connection:
        crack = measure(connection, survey, segments)
        said = NewReview(verdict="confirmed", crack_id=crack.id, reviewer="Ada", note="sealed?")
        added = add_reviews(connection, survey.id, [said])
        (review,) = stored(connection, survey)
    assert (added.added, added.replaced, added.unchanged) == (1, 0, 0)
    assert added.ids == [review.id]
    assert shapely.equals_exact(review.line, crack.line, 0.0)
    assert shapely.get_coordinates(review.line, include_z=True)[:, 2] == pytest.approx(4.0)
    assert review.width_mm == pytest.approx(scene.CRACK_MM)
    assert (review.verdict, review.crack_id) == ("confirmed", crack.id)
    assert (review.reviewer, review.note) == ("Ada", "sealed?")


def test_measuring_again_keeps_reviews_and_knows_the_crack_again(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with database(engine) as connection:
        crack = measure(connection, survey, segments)
        add_areas(connection, survey.id, [NewArea(area=square(0, 0, 40, 10))])
        assert len(unjudged_cracks(connection, survey.id, [])) == 1
        add_reviews(connection, survey.id, [NewReview(verdict="rejected", crack_id=crack.id)])
        before = stored(connection, survey)
        assert len(unjudged_cracks(connection, survey.id, before)) == 0

        again = measure_again(connection, survey, segments)

        assert again.id != crack.id
        assert stored(connection, survey) == before
        assert len(unjudged_cracks(connection, survey.id, before)) == 0
        added = add_reviews(
            connection, survey.id, [NewReview(verdict="confirmed", crack_id=again.id)]
        )
        assert (added.added, added.replaced) == (1, 1)
        (review,) = stored(connection, survey)
        assert (review.verdict, review.crack_id) == ("confirmed", again.id)


def test_sent_twice_it_changes_nothing(engine: Engine, survey: SurveyRow, segments: Ids) -> None:
    with database(engine) as connection:
        crack = measure(connection, survey, segments)
        said = [
            NewReview(verdict="confirmed", crack_id=crack.id),
            NewReview(verdict="drawn", line=ground((3, 2), (9, 2)), width_mm=5.0),
        ]
        first = add_reviews(connection, survey.id, said)
        before = stored(connection, survey)
        # As a file from a GIS brings it: rounded, turned round, without the crack's own widths.
        rounded = shapely.LineString(np.round(shapely.get_coordinates(crack.line), 9)[::-1])
        back = NewReview(verdict="confirmed", crack_id=crack.id, line=rounded, width_mm=4.04)
        again = add_reviews(connection, survey.id, [back, said[1]])
        assert again == Added(first.ids, added=0, replaced=0, unchanged=2)
        assert stored(connection, survey) == before


@pytest.mark.parametrize("with_line", [True, False])
def test_a_width_that_was_corrected_is_the_cracks(
    engine: Engine, survey: SurveyRow, segments: Ids, *, with_line: bool
) -> None:
    with database(engine) as connection:
        crack = measure(connection, survey, segments)
        add_reviews(connection, survey.id, [NewReview(verdict="confirmed", crack_id=crack.id)])
        line = crack.line if with_line else None
        wider = NewReview(verdict="confirmed", crack_id=crack.id, line=line, width_mm=10.0)
        added = add_reviews(connection, survey.id, [wider])
        assert (added.added, added.replaced) == (1, 1)
        (review,) = stored(connection, survey)
        assert review.width_mm == pytest.approx(10.0)
        assert shapely.get_coordinates(review.line, include_z=True)[:, 2] == pytest.approx(10.0)
        assert add_reviews(connection, survey.id, [wider]).unchanged == 1


def test_of_a_crack_judged_in_part_the_rest_is_not_known(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    west, moved = ground((0, 5), (15, 5)), ground((20, 5.2), (30, 5.1))
    with database(engine) as connection:
        crack = measure(connection, survey, segments)
        add_areas(connection, survey.id, [NewArea(area=square(0, 0, 40, 10))])
        said = [NewReview(verdict="confirmed", crack_id=crack.id, line=west, width_mm=4.0)]
        add_reviews(connection, survey.id, said)
        (rest,) = unjudged_cracks(connection, survey.id, stored(connection, survey))
        assert metres(rest) == pytest.approx(metres(crack.line) - 15.0, abs=0.01)
        assert shapely.get_coordinates(rest, include_z=True)[:, 2] == pytest.approx(4.0)

        said += [NewReview(verdict="confirmed", crack_id=crack.id, line=moved, width_mm=4.0)]
        add_reviews(connection, survey.id, said)
        for _ in range(2):
            found = unjudged_cracks(connection, survey.id, stored(connection, survey))
            lengths = sorted(metres(line) for line in found)
            assert lengths == pytest.approx([5.0, metres(crack.line) - 30.0], abs=0.01)
            measure_again(connection, survey, segments)


def metres(line: shapely.LineString) -> float:
    return float(reproject(line, WGS84, scene.UTM).length)


def test_a_crack_cut_in_two_has_a_verdict_for_each_part(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with database(engine) as connection:
        crack = measure(connection, survey, segments)
        add_reviews(connection, survey.id, [NewReview(verdict="confirmed", crack_id=crack.id)])
        west, east = ground((0, 5), (200, 5)), ground((200, 5), (500, 5))
        parts = [
            NewReview(verdict="confirmed", crack_id=crack.id, line=west),
            NewReview(verdict="rejected", crack_id=crack.id, line=east),
        ]
        added = add_reviews(connection, survey.id, parts)
        assert (added.added, added.replaced) == (2, 1)
        found = stored(connection, survey)
        assert [each.verdict for each in found] == ["confirmed", "rejected"]
        assert [each.width_mm for each in found] == pytest.approx([4.0, 4.0])  # the crack's mean
        add_areas(connection, survey.id, [NewArea(area=square(0, 0, 40, 10))])
        assert len(unjudged_cracks(connection, survey.id, found)) == 0


def test_a_part_of_a_crack_judged_whole_before_takes_its_part_of_that_verdict(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with database(engine) as connection:
        crack = measure(connection, survey, segments)
        add_reviews(connection, survey.id, [NewReview(verdict="confirmed", crack_id=crack.id)])
        again = measure_again(connection, survey, segments)
        part = NewReview(verdict="rejected", crack_id=again.id, line=ground((200, 5), (500, 5)))
        added = add_reviews(connection, survey.id, [part])
        assert (added.added, added.replaced) == (1, 1)
        lengths = {each.verdict: metres(each.line) for each in stored(connection, survey)}
        assert lengths == pytest.approx({"confirmed": 200.0, "rejected": 300.0}, abs=0.01)


def test_parts_of_a_crack_are_known_when_it_is_measured_again(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    west, east = ground((0, 5), (200, 5)), ground((200, 5), (500, 5))

    def parts(number: int, *verdicts: Verdict) -> list[NewReview]:
        halves = zip(verdicts, (west, east), strict=True)
        return [NewReview(verdict=v, crack_id=number, line=x, width_mm=4.0) for v, x in halves]

    with database(engine) as connection:
        first = measure(connection, survey, segments).id
        add_areas(connection, survey.id, [NewArea(area=square(0, 0, 40, 10))])
        add_reviews(connection, survey.id, parts(first, "confirmed", "rejected"))
        measure_again(connection, survey, segments)
        found = stored(connection, survey)
        assert len(unjudged_cracks(connection, survey.id, found)) == 0

        # A file from before, with the former number.
        added = add_reviews(connection, survey.id, parts(first, "rejected", "rejected"))
        assert (added.added, added.replaced, added.unchanged) == (1, 1, 1)
        found = stored(connection, survey)
        assert len(unjudged_cracks(connection, survey.id, found)) == 0

        third = measure_again(connection, survey, segments).id
        said = NewReview(verdict="confirmed", crack_id=third)
        assert add_reviews(connection, survey.id, [said]).replaced == 2
        assert [each.verdict for each in stored(connection, survey)] == ["confirmed"]


def test_a_drawn_line_that_was_moved_replaces_the_one_it_names(
    engine: Engine, survey: SurveyRow
) -> None:
    def drawn(y: float, *, x: float = 3, follows: int | None = None) -> NewReview:
        line = ground((x, y), (x + 3, y))
        return NewReview(verdict="drawn", line=line, width_mm=5.0, review_id=follows)

    with database(engine) as connection:
        first, other = add_reviews(connection, survey.id, [drawn(2), drawn(4)]).ids
        moved = add_reviews(connection, survey.id, [drawn(2.5, follows=first)])
        assert (moved.added, moved.replaced, moved.overtaken) == (1, 1, 0)
        assert {each.id for each in stored(connection, survey)} == {other, *moved.ids}
        again = add_reviews(connection, survey.id, [drawn(2.5, follows=first)])
        assert again == Added(moved.ids, added=0, replaced=0, unchanged=1)

        # Split in a GIS, both parts have its number; and one as it was is kept beside its copy.
        parts = [drawn(2.5, x=3, follows=moved.ids[0]), drawn(2.5, x=6, follows=moved.ids[0])]
        split = add_reviews(connection, survey.id, parts)
        assert (split.added, split.replaced, split.unchanged, split.overtaken) == (1, 0, 1, 0)
        halves = [drawn(3, x=3, follows=other), drawn(3, x=6, follows=other)]
        split = add_reviews(connection, survey.id, halves)
        assert (split.added, split.replaced, split.overtaken) == (2, 1, 0)
        assert len(stored(connection, survey)) == 4

        # What it follows was moved by somebody else: both are kept, and that is told.
        late = add_reviews(connection, survey.id, [drawn(1, follows=other)])
        assert (late.added, late.replaced, late.overtaken) == (1, 0, 1)


@pytest.mark.parametrize("measured_again", [False, True])
def test_what_somebody_else_said_since_is_replaced_and_counted(
    engine: Engine, survey: SurveyRow, segments: Ids, *, measured_again: bool
) -> None:
    with database(engine) as connection:
        crack = measure(connection, survey, segments).id
        first = add_reviews(connection, survey.id, [NewReview(verdict="confirmed", crack_id=crack)])
        own = NewReview(verdict="rejected", crack_id=crack, review_id=first.ids[0])
        assert add_reviews(connection, survey.id, [own]).overtaken == 0
        if measured_again:
            crack = measure_again(connection, survey, segments).id
        late = [
            NewReview(verdict="confirmed", crack_id=crack, review_id=first.ids[0]),
            NewReview(verdict="drawn", line=ground((3, 2), (9, 2)), width_mm=5.0),
        ]
        added = add_reviews(connection, survey.id, late)
        assert (added.added, added.replaced, added.overtaken) == (2, 1, 1)
        unaware = NewReview(verdict="rejected", crack_id=crack)
        assert add_reviews(connection, survey.id, [unaware]).overtaken == 1


@pytest.mark.parametrize(
    ("review", "message"),
    [
        (NewReview(verdict="confirmed", crack_id=99), "#2: the survey has no crack 99"),
        (NewReview(verdict="drawn"), "#2 has neither a line nor"),
        (NewReview(verdict="drawn", line=ground((1, 1), (2, 2))), "#2 has no width"),
        (NewReview(verdict="drawn", line=ground((1, 1), (2, 2)), width_mm=1e9), "#2 is 1e"),
        (NewReview(verdict="drawn", line=ground((1, 1), (1, 1)), width_mm=5.0), "without length"),
        (
            NewReview(verdict="drawn", line=shapely.LineString([(4e5, 58e5), (5e5, 58e5)])),
            "#2 is not in degrees",
        ),
        (
            NewReview(verdict="drawn", line=shapely.LineString([(1, 2), (np.inf, 2)])),
            "#2 is not in degrees",
        ),
        (
            NewReview(verdict="drawn", line=ground((5000, 0), (5001, 0)), width_mm=5.0),
            "#2 lies beside all imagery",
        ),
        (
            NewReview(verdict="rejected", line=ground((3, 2), (9, 2)), width_mm=5.0),
            "#1 and #2 are the same line, once drawn, once rejected",
        ),
    ],
)
def test_what_can_t_be_used_is_refused_with_its_number_and_nothing_is_kept(
    engine: Engine, survey: SurveyRow, review: NewReview, message: str
) -> None:
    good = NewReview(verdict="drawn", line=ground((3, 2), (9, 2)), width_mm=5.0)
    with pytest.raises(BadInput, match=message), database(engine) as connection:
        add_reviews(connection, survey.id, [good, review])
    with database(engine) as connection:
        assert stored(connection, survey) == []


def test_areas_are_kept_once_and_refused_when_they_are_none(
    engine: Engine, survey: SurveyRow
) -> None:
    area = square(0, 0, 40, 10)
    turned = shapely.Polygon(np.roll(shapely.get_coordinates(area)[:-1], 2, axis=0)[::-1])
    with database(engine) as connection:
        first = add_areas(connection, survey.id, [NewArea(area=area, reviewer="Ada")])
        again = add_areas(connection, survey.id, [NewArea(area=turned)])
        assert again == Added(first.ids, added=0, replaced=0, unchanged=1)
        (kept,), following = reviews.areas_page(connection, survey.id)
    assert following is None
    assert kept.area.equals_exact(shapely.MultiPolygon([area]), 1e-12)
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    for bad, message in [(bow, "crosses itself"), (square(9e3, 0, 9e3 + 1, 1), "beside all")]:
        with pytest.raises(BadInput, match=message), database(engine) as connection:
            add_areas(connection, survey.id, [NewArea(area=bad)])


def test_pages_go_by_line_and_can_be_asked_for_a_verdict_or_a_box(
    engine: Engine, survey: SurveyRow
) -> None:
    said = [
        NewReview(
            verdict="drawn" if n % 2 else "rejected",
            line=ground((n, 2), (n + 1, 2)),
            width_mm=5.0,
        )
        for n in range(5)
    ]
    with database(engine) as connection:
        ids = add_reviews(connection, survey.id, said).ids
        found, after = [], None
        while True:
            page, after = reviews.reviews_page(connection, survey.id, limit=2, after=after)
            found += [each.id for each in page]
            if after is None:
                break
        assert sorted(found) == ids
        drawn, _ = reviews.reviews_page(connection, survey.id, verdict="drawn")
        assert {each.id for each in drawn} == {ids[1], ids[3]}
        box = ground((3.5, 1), (9, 3)).bounds
        near, _ = reviews.reviews_page(connection, survey.id, bbox=box)
        assert {each.id for each in near} == set(ids[3:])


def test_a_line_that_is_judged_anew_between_two_pages_is_listed_once(
    engine: Engine, survey: SurveyRow
) -> None:
    lines = [ground((n, 2), (n + 1, 2)) for n in range(6)]

    def said(verdict: Verdict) -> list[NewReview]:
        return [NewReview(verdict=verdict, line=line, width_mm=5.0) for line in lines]

    with database(engine) as connection:
        add_reviews(connection, survey.id, said("confirmed"))
        first, after = reviews.reviews_page(connection, survey.id, limit=3)
        assert add_reviews(connection, survey.id, said("rejected")).replaced == 6
        rest, after = reviews.reviews_page(connection, survey.id, limit=9, after=after)
    assert after is None
    assert [each.verdict for each in (*first, *rest)] == ["confirmed"] * 3 + ["rejected"] * 3
    assert len({each.digest for each in (*first, *rest)}) == 6


def test_a_review_and_an_area_are_forgotten_by_id_and_with_their_survey(
    engine: Engine, survey: SurveyRow
) -> None:
    line = NewReview(verdict="drawn", line=ground((1, 2), (2, 2)), width_mm=5.0)
    with database(engine) as connection:
        (review,) = add_reviews(connection, survey.id, [line]).ids
        (area,) = add_areas(connection, survey.id, [NewArea(area=square(0, 0, 4, 4))]).ids
        for forget, number in ((reviews.delete_review, review), (reviews.delete_area, area)):
            with pytest.raises(NotFound):
                forget(connection, uuid.uuid4(), number)
            forget(connection, survey.id, number)
            with pytest.raises(NotFound):
                forget(connection, survey.id, number)
        add_reviews(connection, survey.id, [line])
        connection.execute(text("DELETE FROM survey"))
        assert connection.scalar(text("SELECT count(*) FROM review")) == 0


def test_an_unknown_survey_is_named(engine: Engine) -> None:
    with database(engine) as connection:
        for ask in (reviews.reviews_page, reviews.areas_page):
            with pytest.raises(NotFound, match="there is no survey"):
                ask(connection, uuid.uuid4())
        with pytest.raises(NotFound, match="there is no survey"):
            add_reviews(connection, uuid.uuid4(), [])
