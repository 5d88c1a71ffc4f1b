"""Figures as reviewed: what was rejected is gone, what was drawn counts, and all of it can be undone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import Conflict
from pavemap.geo.lines.line_digest import line_digests
from pavemap.geo.store import cells, crack_pages, leases, measuring, reviews, schema, surveys
from pavemap.geo.store.crack_pages import CrackRow
from pavemap.geo.store.engine import database
from pavemap.geo.store.heeded_reviews import heed_reviews
from pavemap.geo.store.planning import plan_cells
from pavemap.geo.store.review_checks import NewReview
from pavemap.geo.store.review_intake import Added, add_reviews
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.verdict import Verdict

Ids = NDArray[np.int64]


@pytest.fixture
def found(engine: Engine, survey: SurveyRow, segments: Ids) -> CrackRow:
    """The one crack of the surveyed road, along all 500 m of it."""
    with database(engine) as connection:
        for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=1000):
            result = scene.found_in(claimed.cell, segments)
            assert cells.complete(connection, claimed=claimed, result=result, worker="w")
        (crack,) = measured(connection, survey)
    return crack


def measured(connection: Connection, survey: SurveyRow) -> list[CrackRow]:
    """Measure, and return the cracks, the longest first."""
    assert measuring.measure_survey(connection, surveys.get_survey(connection, survey.id))
    rows, _ = crack_pages.cracks_page(connection, survey.id)
    return sorted(rows, key=lambda row: -row.length_m)


def corrected(connection: Connection, survey: SurveyRow, *, heed: bool = True) -> list[CrackRow]:
    """Have the figures heed all reviews, or none, and return the cracks that they are of."""
    assert heed_reviews(connection, survey.id, heed=heed).state == "running"
    return measured(connection, survey)


def said(
    verdict: Verdict,
    *points: tuple[float, float],
    crack: CrackRow | None = None,
    width_mm: float | None = scene.CRACK_MM,
) -> NewReview:
    """What one says of a crack, or of a line through points in metres from the road's corner."""
    line = None
    if points:
        plane = shapely.LineString([(scene.X + x, scene.Y + y) for x, y in points])
        line = reproject(plane, scene.UTM, WGS84)
    number = None if crack is None else crack.id
    return NewReview(verdict=verdict, crack_id=number, line=line, width_mm=width_mm)


def say(connection: Connection, survey: SurveyRow, *reviews: NewReview) -> Added:
    return add_reviews(connection, survey.id, reviews)


def figures(connection: Connection) -> list[dict[str, Any]]:
    rows = connection.execute(text("SELECT * FROM condition ORDER BY segment_id")).mappings()
    return [{name: row[name] for name in row if name != "created_at"} for row in rows]


def lengths(rows: list[CrackRow]) -> list[float]:
    """Metres of the plane."""
    return [row.length_m * scene.SCALE for row in rows]


def test_a_rejected_crack_is_in_no_figure_until_that_is_undone(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        before = figures(connection)
        say(connection, survey, said("rejected", crack=found))
        assert figures(connection) == before  # a verdict alone changes nothing
        assert corrected(connection, survey) == []
        for row, was in zip(figures(connection), before, strict=True):
            assert (row["crack_length_m"], row["crack_count"]) == (0.0, 0)
            assert row["density_m_per_m2"] == row["cracked_area_m2"] == 0.0
            assert row["imaged_m2"] == was["imaged_m2"]
        assert connection.scalar(text("SELECT count(*) FROM piece")) == 0
        stored = surveys.get_survey(connection, survey.id)
        assert (stored.heeds_reviews, stored.heeded_reviews) == (True, 1)

        (again,) = corrected(connection, survey, heed=False)
        assert shapely.equals_exact(again.line, found.line, 0.0)
        assert figures(connection) == before
        stored = surveys.get_survey(connection, survey.id)
        assert (stored.heeds_reviews, stored.heeded_reviews) == (False, None)
        assert stored.heeded_digest is None


def test_a_confirmed_crack_changes_no_figure(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        before = figures(connection)
        say(connection, survey, said("confirmed", crack=found))
        (crack,) = corrected(connection, survey)
        assert figures(connection) == before
        assert (crack.confidence, crack.model_id) == (found.confidence, found.model_id)


def test_what_was_drawn_moved_cut_or_widened_counts_as_reviewers_say(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(
            connection,
            survey,
            said("rejected", (0, 5), (100, 5), crack=found),
            said("confirmed", (100, 5), (200, 5), crack=found, width_mm=9.0),
            said("confirmed", (300, 5), (350, 7), (400, 5), crack=found),
            said("drawn", (20, 3), (50, 3), width_mm=6.0),
        )
        rows = corrected(connection, survey)
        moved = 2 * np.hypot(50.0, 2.0)
        rest = [500.0 - 400.0, 100.0]
        assert lengths(rows) == pytest.approx(sorted([moved, 100.0, *rest, 30.0])[::-1], abs=0.02)
        drawn = rows[-1]
        assert (drawn.model_id, drawn.confidence) == (None, None)
        assert drawn.width_mean_mm == pytest.approx(6.0)
        assert {row.model_id for row in rows[:-1]} == {found.model_id}
        assert max(row.width_mean_mm for row in rows) == pytest.approx(9.0)
        first, second, third, fourth, fifth = (
            row["crack_length_m"] * scene.SCALE for row in figures(connection)
        )
        assert first == pytest.approx(30.0, abs=0.02)
        assert (second, third, fifth) == pytest.approx((100.0,) * 3, abs=0.02)
        assert fourth == pytest.approx(moved, abs=0.02)

        # Measured once more, for whatever reason, they are the same.
        surveys.set_state(connection, survey.id, "running")
        again = measured(connection, survey)
        assert [row.line for row in again] == [row.line for row in rows]


def test_cracks_as_reviewed_can_be_reviewed_again(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("confirmed", (0, 5), (150, 6), (300, 5), crack=found))
        say(connection, survey, said("drawn", (20, 3), (50, 3)))
        moved, rest, drawn = corrected(connection, survey)
        assert lengths([moved, rest, drawn]) == pytest.approx([300.0, 200.0, 30.0], abs=0.02)

        # Confirmed, they stay; moved once more, they are where they were moved to.
        for crack in (moved, rest, drawn):
            say(connection, survey, said("confirmed", crack=crack, width_mm=None))
        verdicts = [each.verdict for each in reviews.all_reviews(connection, survey.id)]
        assert sorted(verdicts) == ["confirmed", "confirmed", "drawn"]
        assert [row.line for row in corrected(connection, survey)] == [
            row.line for row in (moved, rest, drawn)
        ]
        moved, rest, drawn = crack_pages.cracks_page(connection, survey.id)[0]
        say(connection, survey, said("confirmed", (0, 5), (150, 9), (300, 5), crack=moved))
        say(connection, survey, said("confirmed", (20, 3), (60, 3), crack=drawn))
        rows = corrected(connection, survey)
        bent = 2 * np.hypot(150.0, 4.0)
        assert lengths(rows) == pytest.approx([bent, 200.0, 40.0], abs=0.02)

        # Rejected, none of them comes back as what it once was.
        for crack in rows:
            say(connection, survey, said("rejected", crack=crack))
        assert corrected(connection, survey) == []

        # And without what was said all is as it was found.
        for each in reviews.all_reviews(connection, survey.id):
            reviews.delete_review(connection, survey.id, each.id)
        (again,) = corrected(connection, survey, heed=False)
        assert shapely.equals_exact(again.line, found.line, 0.0)


def test_what_reviewers_drew_or_moved_counts_where_the_ground_was_imaged(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        fail_cell(connection, survey, 49)
        surveys.set_state(connection, survey.id, "running")
        (crack,) = measured(connection, survey)
        say(
            connection,
            survey,
            said("confirmed", (0, 5), (495, 5), crack=crack),
            said("drawn", (480, 3), (520, 3)),
            said("drawn", (485, 2), (485, 4)),
        )
        rows = corrected(connection, survey)
        assert lengths(rows) == pytest.approx([495.0, 40.0, 2.0], abs=0.02)  # as they were drawn
        *_, last = figures(connection)
        assert last["crack_count"] == 3
        assert last["crack_length_m"] * scene.SCALE == pytest.approx(90 + 10 + 2, abs=0.05)
        for row in rows:
            say(connection, survey, said("rejected", crack=row))
        assert corrected(connection, survey) == []


def fail_cell(connection: Connection, survey: SurveyRow, number: int) -> None:
    connection.execute(
        text("UPDATE cell SET state = 'failed' WHERE survey_id = :id AND col = :col"),
        {"id": survey.id, "col": scene.COL + number},
    )


def test_what_was_rejected_stays_so_whatever_becomes_of_the_rest(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        (first,) = say(connection, survey, said("confirmed", (0, 5), (100, 5), crack=found)).ids
        rest, kept = corrected(connection, survey)
        assert lengths([rest, kept]) == pytest.approx([400.0, 100.0], abs=0.02)
        say(connection, survey, said("rejected", crack=rest))
        (kept,) = corrected(connection, survey)
        say(connection, survey, said("confirmed", (0, 5), (101, 5), crack=kept))
        (kept,) = corrected(connection, survey)
        assert lengths([kept]) == pytest.approx([101.0], abs=0.02)
        (now, _) = sorted(reviews.all_reviews(connection, survey.id), key=lambda r: r.verdict)
        assert first != now.id
        reviews.delete_review(connection, survey.id, now.id)
        assert lengths(corrected(connection, survey)) == pytest.approx([100.0], abs=0.02)


def test_a_verdict_on_one_part_leaves_the_other(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        parts = [
            said("rejected", (0, 5), (200, 5), crack=found),
            said("confirmed", (200, 5), (500, 5), crack=found, width_mm=12.0),
        ]
        ids = say(connection, survey, *parts).ids
        (kept,) = corrected(connection, survey)
        assert kept.width_mean_mm == pytest.approx(12.0)
        noted = replace(parts[0], note="a joint", review_id=ids[0])
        added = say(connection, survey, noted)
        assert (added.added, added.replaced, added.overtaken) == (1, 1, 0)
        say(connection, survey, said("confirmed", crack=kept, width_mm=None))
        (again,) = corrected(connection, survey)
        assert again.width_mean_mm == pytest.approx(12.0)
        assert again.line == kept.line


def test_a_line_judged_by_an_older_file_counts_once(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("confirmed", (0, 5), (250, 7), (500, 5), crack=found))
        (moved,) = corrected(connection, survey)
        say(connection, survey, said("confirmed", (0, 5), (250, 8), (500, 5), crack=moved))
        # Exported before: the crack has its old number, and runs as it was found.
        old = NewReview(verdict="confirmed", crack_id=found.id, line=found.line, width_mm=4.0)
        added = say(connection, survey, old)
        assert (added.added, added.replaced, added.overtaken) == (1, 1, 1)
        (crack,) = corrected(connection, survey)
        assert lengths([crack]) == pytest.approx([500.0], abs=0.02)

        # Cut in that file, its parts are known by the digest that was exported along.
        halves = [
            said("rejected", (0, 5), (200, 5), crack=found),
            said("confirmed", (200, 5), (500, 5), crack=found),
        ]
        (digest,) = line_digests(np.array([found.line], dtype=object))
        say(connection, survey, *(replace(each, crack_digest=digest) for each in halves))
        (crack,) = corrected(connection, survey)
        assert lengths([crack]) == pytest.approx([300.0], abs=0.02)


def test_a_drawn_line_can_be_judged_in_part(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("rejected", crack=found), said("drawn", (20, 3), (50, 3)))
        (drawn,) = corrected(connection, survey)
        surveys.set_state(connection, survey.id, "running")
        measured(connection, survey)
        # By a number that is gone, with its line.
        say(connection, survey, said("confirmed", (20, 3), (50, 3), crack=drawn))
        (again,) = corrected(connection, survey)
        assert lengths([again]) == pytest.approx([30.0], abs=0.02)
        assert again.model_id is None
        say(connection, survey, said("confirmed", (20, 3), (40, 3), crack=again))
        rows = corrected(connection, survey)  # the rest of it is drawn as before
        assert lengths(rows) == pytest.approx([20.0, 10.0], abs=0.02)
        assert [row.model_id for row in rows] == [None, None]
        say(connection, survey, said("rejected", (20, 3), (40, 3), crack=rows[0]))
        assert lengths(corrected(connection, survey)) == pytest.approx([10.0], abs=0.02)


def test_a_crack_that_came_back_otherwise_counts_until_it_is_judged_again(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("confirmed", (0, 5), (250, 9), (500, 5), crack=found))
        fail_cell(connection, survey, 49)
        (shorter,) = corrected(connection, survey)
        assert lengths([shorter]) == pytest.approx([490.0], abs=0.02)
        say(connection, survey, said("rejected", crack=shorter))
        assert corrected(connection, survey) == []


def test_figures_that_are_as_they_should_be_are_left_alone(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        with pytest.raises(Conflict, match="has no reviews"):
            heed_reviews(connection, survey.id, heed=True)
        assert heed_reviews(connection, survey.id, heed=False).state == "done"
        say(connection, survey, said("rejected", crack=found))
        running = heed_reviews(connection, survey.id, heed=True)
        assert heed_reviews(connection, survey.id, heed=True).epoch == running.epoch
        measured(connection, survey)
        done = surveys.get_survey(connection, survey.id)
        assert heed_reviews(connection, survey.id, heed=True) == done

        # What is said later is for the asking, and a measuring that is under way is begun anew for it.
        say(connection, survey, said("drawn", (20, 3), (50, 3)))
        assert surveys.get_survey(connection, survey.id) == done
        assert heed_reviews(connection, survey.id, heed=True).state == "running"
        surveys.set_state(connection, survey.id, "measuring")
        assert heed_reviews(connection, survey.id, heed=True).state == "running"
        assert len(measured(connection, survey)) == 1


def test_new_imagery_leaves_the_figures_as_reviewed(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("rejected", crack=found))
        assert corrected(connection, survey) == []
        stored = surveys.get_survey(connection, survey.id)
        assert not plan_cells(connection, stored).changed
        surveys.set_state(connection, survey.id, "running")
        assert measured(connection, survey) == []


def test_a_survey_that_was_never_run_has_no_figures_to_correct(engine: Engine) -> None:
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        for heed in (True, False):
            with pytest.raises(Conflict, match="run it first"):
                heed_reviews(connection, survey.id, heed=heed)


def test_reviews_from_before_cracks_were_known_by_their_course_are_heeded(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("rejected", (0, 5), (100, 5), crack=found))
        connection.execute(text("UPDATE review SET crack_digest = NULL"))
    schema.downgrade(engine, revision="0015")
    schema.upgrade(engine)
    with database(engine) as connection:
        assert lengths(corrected(connection, survey)) == pytest.approx([400.0], abs=0.02)


def test_a_line_that_names_no_crack_is_about_none(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    """Though another that names none is known to be of one."""
    with database(engine) as connection:
        known = said("rejected", (20, 3), (50, 3))
        say(connection, survey, replace(known, crack_digest="ab" * 32))
        say(connection, survey, replace(known, note="again"), said("rejected", (60, 3), (90, 3)))
        links = {each.crack_digest for each in reviews.all_reviews(connection, survey.id)}
        assert links == {"ab" * 32, None}


def test_what_one_file_says_twice_or_two_files_say_of_a_part_leaves_the_others(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        west = said("rejected", (0, 5), (200, 5), crack=found)
        east = said("confirmed", (200, 5), (500, 5), crack=found, width_mm=12.0)
        ids = say(connection, survey, west).ids
        assert say(connection, survey, east).replaced == 0
        noted = replace(west, note="a joint", review_id=ids[0])
        for replaced in (1, 0):  # the second time what it follows is gone
            assert say(connection, survey, noted).replaced == replaced
        # One who judges what is left says nothing of the rest, nor one who moves it.
        rest = said("confirmed", (0, 5), (200, 5.2), crack=found)
        added = say(connection, survey, rest)
        assert (added.replaced, added.overtaken) == (1, 1)
        rows = corrected(connection, survey)
        assert lengths(rows) == pytest.approx([300.0, 200.0], abs=0.05)
        assert [row.width_mean_mm for row in rows] == pytest.approx([12.0, 4.0])


def test_two_who_moved_one_crack_between_two_numberings_say_it_once(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        (digest,) = line_digests(np.array([found.line], dtype=object))
        bob = said("confirmed", (0, 5), (250, 7), (500, 5), crack=found)
        surveys.set_state(connection, survey.id, "running")
        (now,) = measured(connection, survey)
        say(connection, survey, said("confirmed", (0, 5), (250, 3), (500, 5), crack=now))
        added = say(connection, survey, replace(bob, crack_digest=digest))
        assert (added.replaced, added.overtaken) == (1, 1)
        assert lengths(corrected(connection, survey)) == pytest.approx([500.0], abs=0.05)


def test_a_line_drawn_beside_a_crack_leaves_the_crack(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        (digest,) = line_digests(np.array([found.line], dtype=object))
        copied = replace(said("drawn", (0, 5.2), (500, 5.2)), crack_digest=digest)
        say(connection, survey, copied)
        rows = corrected(connection, survey)
        assert lengths(rows) == pytest.approx([500.0, 500.0], abs=0.02)
        assert {row.model_id for row in rows} == {found.model_id, None}


def test_a_drawn_line_that_was_rejected_may_be_confirmed_again(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("rejected", crack=found), said("drawn", (20, 3), (50, 3)))
        (drawn,) = corrected(connection, survey)
        say(connection, survey, said("rejected", crack=drawn))
        assert corrected(connection, survey) == []
        say(connection, survey, said("confirmed", (20, 3), (50, 3), crack=drawn))
        (again,) = corrected(connection, survey)
        assert (again.model_id, again.line) == (None, drawn.line)


def test_the_last_word_holds_where_lines_overlap_and_the_former_elsewhere(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        (ada,) = say(connection, survey, said("rejected", (0, 5), (350, 5), crack=found)).ids
        bob = say(connection, survey, said("rejected", (250, 5), (500, 5), crack=found))
        assert (bob.added, bob.replaced, bob.overtaken) == (1, 1, 1)
        assert corrected(connection, survey) == []
        # Confirmed later, the middle counts, and what was rejected beside it stays so.
        middle = said("confirmed", (200, 5), (300, 5), crack=found, width_mm=7.0)
        digest = line_digests(np.array([found.line], dtype=object))[0]
        say(connection, survey, replace(middle, crack_digest=digest))
        (crack,) = corrected(connection, survey)
        assert lengths([crack]) == pytest.approx([100.0], abs=0.02)
        verdicts = sorted(each.verdict for each in reviews.all_reviews(connection, survey.id))
        assert verdicts == ["confirmed", "rejected", "rejected"]
        # And one whose line is drawn out takes what it covers from the others.
        named = reviews.all_reviews(connection, survey.id)[-1]
        out = said("confirmed", (0, 5), (300, 5), crack=crack, width_mm=7.0)
        say(connection, survey, replace(out, review_id=named.id))
        assert lengths(corrected(connection, survey)) == pytest.approx([300.0], abs=0.02)
        assert ada not in {each.id for each in reviews.all_reviews(connection, survey.id)}


def test_a_copy_that_is_drawn_says_nothing_of_what_it_was_copied_from(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        (first,) = say(connection, survey, said("confirmed", crack=found)).ids
        original = said("confirmed", crack=found)
        copied = replace(said("drawn", (0, 5.2), (500, 5.2)), review_id=first)
        (_, drawn) = say(connection, survey, original, copied).ids
        say(connection, survey, replace(copied, verdict="rejected", review_id=drawn))
        assert lengths(corrected(connection, survey)) == pytest.approx([500.0], abs=0.02)


def test_the_rest_of_a_verdict_that_was_given_by_itself_is_there_once(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        west = said("rejected", (0, 5), (200, 5), crack=found)
        (number,) = say(connection, survey, west).ids
        (rest,) = corrected(connection, survey)
        reviews.delete_review(connection, survey.id, number)
        # Of a number that is gone, and of no crack that anybody knows of.
        alone = NewReview(verdict="confirmed", crack_id=10**6, line=rest.line, width_mm=4.0)
        (whole,) = corrected(connection, survey, heed=False)
        say(connection, survey, alone)
        say(connection, survey, said("confirmed", crack=whole))
        say(connection, survey, replace(west, crack_id=whole.id))
        verdicts = sorted(each.verdict for each in reviews.all_reviews(connection, survey.id))
        assert verdicts == ["confirmed", "rejected"]


@pytest.mark.parametrize("first", [20.0, 100.0, 190.0])
@pytest.mark.parametrize("aside", [0.0, 0.15])
def test_of_two_parts_as_long_that_overlap_the_former_holds_beside_the_later(
    engine: Engine, survey: SurveyRow, found: CrackRow, first: float, aside: float
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("rejected", (0, 5), (200, 5), crack=found))
        later = [(first, 5.0 + aside), (first + 200, 5.0 + aside)]
        say(connection, survey, said("confirmed", *later, crack=found, width_mm=7.0))
        rows = corrected(connection, survey)
        assert lengths(rows) == pytest.approx(sorted([200, 300 - first])[::-1], abs=0.02)
        stored = reviews.all_reviews(connection, survey.id)
        assert sorted(each.verdict for each in stored) == ["confirmed", "rejected"]


def test_the_end_of_a_moved_crack_that_nobody_judged_counts_as_found(
    engine: Engine, survey: SurveyRow, found: CrackRow
) -> None:
    with database(engine) as connection:
        say(connection, survey, said("confirmed", (0, 5.15), (500, 5.15), crack=found))
        (moved,) = corrected(connection, survey)
        (review,) = reviews.all_reviews(connection, survey.id)
        shorter = said("confirmed", (60, 5.15), (500, 5.15), crack=moved)
        say(connection, survey, replace(shorter, review_id=review.id))
        assert lengths(corrected(connection, survey)) == pytest.approx([440.0, 60.0], abs=0.02)
