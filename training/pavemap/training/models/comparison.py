"""Is a new model version better than the one in use? By F1 on the test sets both were scored on.

Sets are the same where they hold the same images, masks and codings (`SHA256`), whatever their names, or
where one run has scored both versions on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pavemap.training.errors import BadModel
from pavemap.training.models.card import ModelCard

TESTS = "tests"
IN_USE = "in_use"
"""Entries of a card's metrics: its scores on the test sets, and those of the version then in use."""

SHA256 = "sha256"
"""Entry of a score: the digest of what its set holds (`datasets.fingerprint`)."""


@dataclass(frozen=True)
class Comparison:
    """Mean F1 (over images) by test set, of a candidate and of the version in use."""

    candidate_id: str
    in_use_id: str
    candidate: dict[str, float]
    in_use: dict[str, float]

    @property
    def common(self) -> list[str]:
        """The test sets that both were scored on."""
        return sorted(set(self.candidate) & set(self.in_use))

    @property
    def gain(self) -> float | None:
        """By how much the candidate's F1, a mean over the common sets, is greater; None without any."""
        if not self.common:
            return None
        return sum(self.candidate[name] - self.in_use[name] for name in self.common) / len(
            self.common
        )

    def refusal(self) -> str | None:
        """Why the candidate should not take the place of the version in use; None when it may."""
        if self.candidate_id == self.in_use_id:
            return None
        if self.gain is None:
            return (
                f"{self.candidate_id} was not scored on a test set, of the same images, that "
                f"{self.in_use_id} was scored on; train under another name with the same sets as "
                "[[tests]] (with --submit both are scored), or force it"
            )
        if self.gain < 0.0:
            return (
                f"{self.candidate_id} scores {-self.gain:.4f} less in F1 than {self.in_use_id} on "
                f"{', '.join(self.common)}; force it if you know better"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "common": self.common, "gain": self.gain}


def check_scores(metrics: Mapping[str, Any]) -> None:
    """Raise BadModel where a card's scores can't be compared."""
    try:
        for scored in (metrics, metrics.get(IN_USE, {})):
            scores = scored.get(TESTS, [])
            _check_texts(scored.get("model", ""), *_texts_of(scores))
            for score in scores:
                _check_f1(score["data"], score["mean"]["f1"])
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise BadModel(
            f'"metrics" of the card can\'t be read ({type(exc).__name__}: {exc}): "{TESTS}" is a list of '
            '{"data": "name/test", "mean": {"f1": 0.9}}, as is that within '
            f'"{IN_USE}"; leave both out where nothing was scored'
        ) from exc


def compare(candidate: ModelCard, in_use: ModelCard) -> Comparison:
    """Compare two cards; scores of the version in use from the candidate's own run are preferred.

    Of another run those count whose sets held the same as one of the candidate's, by whose name they go.
    """
    own, beside = candidate.metrics.get(TESTS, []), candidate.metrics.get(IN_USE, {})
    if beside.get("model") == in_use.model_id:
        scores = beside.get(TESTS, [])
    else:
        names = {score[SHA256]: score["data"] for score in own if SHA256 in score}
        others = in_use.metrics.get(TESTS, [])
        scores = [
            {**score, "data": names[score[SHA256]]}
            for score in others
            if score.get(SHA256) in names
        ]
    return Comparison(
        candidate_id=candidate.model_id,
        in_use_id=in_use.model_id,
        candidate=f1_by_set(own),
        in_use=f1_by_set(scores),
    )


def f1_by_set(scores: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The mean F1 by test set, of a card's list of scores."""
    return {str(score["data"]): float(score["mean"]["f1"]) for score in scores}


def _texts_of(scores: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    for score in scores:
        yield score["data"]
        yield score.get(SHA256, "")


def _check_f1(name: str, f1: Any) -> None:
    if isinstance(f1, bool) or not isinstance(f1, int | float):
        raise TypeError(f"the F1 of {name} is no number")
    if isinstance(f1, float) and not math.isfinite(f1):
        raise ValueError(f"the F1 of {name} is not finite")
    if not 0 <= f1 <= 1:
        raise ValueError(f"the F1 of {name} is not between 0 and 1")


def _check_texts(*values: Any) -> None:
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is no text")
