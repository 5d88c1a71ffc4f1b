"""Whether a candidate may take the place of the version in use."""

from __future__ import annotations

from typing import Any

import pytest

from pavemap.training.errors import BadModel
from pavemap.training.models.card import ModelCard
from pavemap.training.models.comparison import check_scores, compare


def card(name: str, metrics: dict[str, Any]) -> ModelCard:
    return ModelCard(
        name=name,
        architecture="survey-unet",
        gsd_m=0.002,
        gsd_range_m=(0.001, 0.004),
        threshold=0.5,
        metrics=metrics,
        digest=f"{len(name):064d}",
        created="2026-01-01T00:00:00+00:00",
    )


def scores(sha256: str | None = "ab12", **f1: float) -> list[dict[str, Any]]:
    """Scores on sets of these names; one of another name holds other images."""
    return [
        {"data": name, "mean": {"f1": value}}
        | ({} if sha256 is None else {"sha256": f"{sha256}-{name}"})
        for name, value in f1.items()
    ]


IN_USE = card("old", {"tests": scores(a=0.80, b=0.90, c=0.70)})


def test_the_mean_over_common_sets_decides() -> None:
    better = compare(card("better", {"tests": scores(a=0.84, b=0.88, d=0.1)}), IN_USE)
    assert better.common == ["a", "b"]
    assert better.gain == pytest.approx(0.01)
    assert better.refusal() is None
    worse = compare(card("worse", {"tests": scores(a=0.84, b=0.84)}), IN_USE)
    assert worse.gain == pytest.approx(-0.01)
    assert "0.0100 less" in str(worse.refusal())


def test_without_a_common_set_it_is_refused() -> None:
    said = compare(card("apart", {"tests": scores(x=1.0)}), IN_USE).refusal()
    assert "was not scored on a test set" in str(said)


@pytest.mark.parametrize(
    ("own", "other"), [("ab12", "cd34"), ("ab12", None), (None, "ab12"), (None, None)]
)
def test_sets_of_one_name_that_hold_other_images_are_not_compared(
    own: str | None, other: str | None
) -> None:
    in_use = card("old", {"tests": scores(sha256=other, road=0.75)})
    found = compare(card("better", {"tests": scores(sha256=own, road=0.80)}), in_use)
    assert found.gain is None
    assert "of the same images" in str(found.refusal())
    beside = {"model": in_use.model_id, "tests": scores(sha256=None, road=0.75)}
    one_run = card("better", {"tests": scores(sha256=own, road=0.80), "in_use": beside})
    assert compare(one_run, in_use).gain == pytest.approx(0.05)


def test_a_set_of_another_name_that_holds_the_same_images_is_compared() -> None:
    moved = {"data": "moved", "mean": {"f1": 0.86}, "sha256": "ab12-b"}
    found = compare(card("worse", {"tests": [*scores(a=0.80), moved]}), IN_USE)
    assert found.common == ["a", "moved"]
    assert found.gain == pytest.approx(-0.02)
    assert "on a, moved" in str(found.refusal())


@pytest.mark.parametrize(
    "metrics",
    [
        {"tests": [{"data": "road", "mean": {"f1": 0.9}, "sha256": ["ab12"]}]},
        {"tests": [{"data": ["road"], "mean": {"f1": 0.9}}]},
        {"in_use": {"model": ["old"], "tests": []}},
    ],
)
def test_names_and_digests_of_scores_are_texts(metrics: dict[str, Any]) -> None:
    with pytest.raises(BadModel, match="is no text"):
        check_scores(metrics)


@pytest.mark.parametrize(
    ("f1", "message"),
    [
        (7.0, "0 and 1"),
        (-3, "0 and 1"),
        (10**400, "0 and 1"),
        ("0.9", "no number"),
        (True, "no nu"),
    ],
)
def test_an_f1_is_a_number_from_0_to_1(f1: Any, message: str) -> None:
    with pytest.raises(BadModel, match=message):
        check_scores({"tests": scores(road=f1)})
    with pytest.raises(BadModel, match=message):
        check_scores({"in_use": {"model": "old-00000000", "tests": scores(road=f1)}})


def test_the_same_version_is_no_change() -> None:
    assert compare(IN_USE, IN_USE).refusal() is None


def test_scores_of_the_candidates_own_run_are_preferred() -> None:
    beside = {"model": IN_USE.model_id, "tests": scores(a=0.70)}
    found = compare(card("same-run", {"tests": scores(a=0.75), "in_use": beside}), IN_USE)
    assert found.gain == pytest.approx(0.05)
    stranger = {"model": "another-00000000", "tests": scores(a=0.10)}
    found = compare(card("other-run", {"tests": scores(a=0.75), "in_use": stranger}), IN_USE)
    assert found.gain == pytest.approx(-0.05)
