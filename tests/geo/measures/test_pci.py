"""The cracking-only PCI against the standard's steps, worked by hand, and examples in print."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavemap.geo.measures.pci import (
    CORRECTION_CURVES,
    DEDUCT_CURVES,
    DENSITY_RANGE,
    DISTRESSES,
    Distress,
    corrected_deduct,
    deduct_value,
    density_percent,
    pci,
    pci_rating,
    section_pci,
    unit_pci,
)

SEVERITIES = ("low", "medium", "high")


def deduct(kind: str, severity: str, density: float) -> float:
    return float(deduct_value(kind, severity, np.array([density]))[0])


def corrected(total: float, q: int) -> float:
    return float(corrected_deduct(np.array([total]), np.array([q]))[0])


def test_a_total_of_45_with_two_deducts_is_corrected_to_33() -> None:
    # -4.768 + 0.9204 x 45 - 0.001752 x 45^2 = -4.768 + 41.418 - 3.548 = 33.102; TM 5-623 reads 33.
    assert corrected(45.0, 2) == pytest.approx(33.102, abs=1e-3)


def test_medium_alligator_at_0_64_percent_deducts_what_the_chart_shows() -> None:
    # x = log10(0.64) = -0.19382: 21.641 - 3.8473 + 0.1551 = 17.949. TM 5-623 reads 17 from the chart:
    # the formula gives the same whole number cut off, and 18 rounded.
    value = deduct("alligator", "medium", 0.64)
    assert value == pytest.approx(17.949, abs=1e-3)
    assert np.floor(value) == 17


def test_the_example_of_the_standard_with_eight_deducts() -> None:
    # HDV 25.1: m = 1 + 9/98 x 74.9 = 7.879, so seven count whole and 5.3 x 0.879 = 4.66 of the last;
    # T = 104.56 at q = 8, by the curve of 7: -18.186 + 87.33 - 17.86 = 51.3. In print: 51, index 49.
    deducts = np.array([[25.1, 23.4, 17.9, 11.2, 7.9, 7.5, 6.9, 5.3]])
    assert pci(deducts)[0] == pytest.approx(49, abs=0.5)


def test_one_unit_by_hand() -> None:
    # 200 m2: 2 m2 of medium alligator (1 %, x = 0: 21.641) and 20 m of low cracks
    # (20 x 0.3048 / 200 = 3.048 %, x = 0.48401: 2.183 + 3.9767 + 1.5122 = 7.672).
    # m = 1 + 9/98 x 78.359 = 8.2, both count. q = 2: T = 29.313, CDV = -4.768 + 26.980 - 1.505 = 20.706.
    # q = 1: 7.672 becomes 2, CDV = T = 23.641. The greater one counts: 100 - 23.641 = 76.359.
    unit = [
        Distress("alligator", "medium", 2.0),
        Distress("longitudinal_transverse", "low", 20.0),
    ]
    assert unit_pci(unit, 200.0) == pytest.approx(76.359, abs=1e-3)
    assert pci_rating(np.array([76.359])).tolist() == ["satisfactory"]


def test_crack_density_is_in_feet_per_square_foot() -> None:
    density = density_percent("longitudinal_transverse", np.array([100.0]), np.array([1000.0]))
    feet, square_feet = 100.0 / 0.3048, 1000.0 / 0.3048**2
    assert density[0] == pytest.approx(100.0 * feet / square_feet)


def test_only_so_many_deducts_count_as_the_worst_allows() -> None:
    # HDV 90: m = 1 + 9/98 x 10 = 1.918, so 90 and 0.918 of the first 30: T = 117.55 at q = 2.
    assert pci(np.array([[90.0, 30.0, 30.0]]))[0] == pytest.approx(
        pci(np.array([[90.0, 30.0 * (1.0 + 90.0 / 98.0 - 1.0)]]))[0]
    )


def test_deducts_up_to_two_are_summed_but_not_counted() -> None:
    assert pci(np.array([[10.0, 2.0, 1.5]]))[0] == pytest.approx(86.5)
    assert pci(np.array([[1.0, 0.5, 0.0]]))[0] == pytest.approx(98.5)


def test_no_cracks_deduct_nothing() -> None:
    assert pci(np.zeros((1, 9)))[0] == 100.0
    assert unit_pci([], 225.0) == 100.0


@pytest.mark.parametrize("kind", DISTRESSES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_beyond_its_range_a_curve_stays_at_its_end_and_below_it_falls_to_nothing(
    kind: str, severity: str
) -> None:
    least, most = DENSITY_RANGE[kind]
    assert deduct(kind, severity, 10.0 * most) == deduct(kind, severity, most)
    assert deduct(kind, severity, least / 2) == pytest.approx(deduct(kind, severity, least) / 2)
    assert deduct(kind, severity, 0.0) == 0.0


@pytest.mark.parametrize("kind", DISTRESSES)
def test_a_curve_is_never_negative_and_worse_severity_deducts_more(kind: str) -> None:
    density = np.geomspace(*DENSITY_RANGE[kind], 300)
    low, medium, high = (deduct_value(kind, name, density) for name in SEVERITIES)
    assert (low >= 0.0).all()
    assert (medium >= low - 0.6).all()  # at 0.1 % the fits for blocks cross by half a point
    assert (high >= medium).all()


def test_there_is_a_curve_for_each_distress_and_severity() -> None:
    assert set(DEDUCT_CURVES) == {(kind, name) for kind in DISTRESSES for name in SEVERITIES}


def test_more_deducts_with_the_same_total_are_corrected_more() -> None:
    total = np.arange(40.0, 201.0, 5.0)
    values = [corrected_deduct(total, np.full(len(total), q)) for q in (1, *CORRECTION_CURVES, 9)]
    for fewer, more in pairwise(values):
        assert (fewer >= more - 0.7).all()  # the fits of 6 and 7 cross by 0.65


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=9))
def test_an_index_lies_between_0_and_100_and_no_lower_than_without_correction(
    deducts: list[float],
) -> None:
    index = pci(np.array([deducts]))[0]
    assert max(0.0, 100.0 - sum(deducts)) - 1e-9 <= index <= 100.0 - max(deducts) + 1e-9


@given(st.permutations([25.1, 23.4, 17.9, 11.2, 7.9, 7.5]))
def test_the_order_of_distresses_does_not_matter(deducts: list[float]) -> None:
    ordered = np.sort(np.array([deducts]))
    assert pci(np.array([deducts]))[0] == pytest.approx(pci(ordered)[0])


def test_a_section_is_the_mean_of_its_units_by_area() -> None:
    index = section_pci(
        np.array([80.0, 50.0, 90.0]), np.array([200.0, 100.0, 50.0]), np.array([0, 0, 2]), 3
    )
    assert index[[0, 2]] == pytest.approx([70.0, 90.0])
    assert np.isnan(index[1])


def test_ratings_of_the_standard() -> None:
    numbers = np.array([100, 85.1, 85, 70.1, 70, 55, 40, 25, 10, 0, np.nan])
    assert pci_rating(numbers).tolist() == [
        "good",
        "good",
        "satisfactory",
        "satisfactory",
        "fair",
        "poor",
        "very poor",
        "serious",
        "failed",
        "failed",
        None,
    ]
