"""The change between two surveys over the whole network, from the figures that both measurings stored."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from sqlalchemy import Connection

from pavemap.geo.store.bulk import fetch_columns
from pavemap.geo.store.comparison import BOTH, COLUMNS, FIGURES, Comparison, differences, known

_ALL = f"""SELECT {COLUMNS}
    FROM {BOTH.format(former_network="%(former_network)s", before="%(before)s")}
    WHERE a.survey_id = %(after)s"""


@dataclass(frozen=True, kw_only=True)
class ChangeSummary:
    """The whole network: segments that both surveys have, and the change over what both saw of them.

    worse and better count segments whose change is significant.
    """

    segments: int
    segments_compared: int
    worse: int
    better: int
    density_before_m_per_m2: float | None
    density_after_m_per_m2: float | None
    density_change_m_per_m2: float | None
    uncertainty_m_per_m2: float | None
    significant: bool
    tolerance_m: float
    precision_before: float
    recall_before: float
    precision_after: float
    recall_after: float
    accuracy_stated: bool
    """Whether both models' cards state precision and recall; otherwise 0.8 is assumed."""


def change_summary(connection: Connection, comparison: Comparison) -> ChangeSummary:
    """Return the change over all segments, from the figures that both measurings stored."""
    parts = [
        pd.DataFrame(dict(zip(FIGURES, columns, strict=True)))
        for columns in fetch_columns(connection, _ALL, comparison.parameters)
    ]
    found = pd.concat([pd.DataFrame(columns=list(FIGURES), dtype=float), *parts])
    seen = found[(found["imaged_before"] > 0.0) & (found["imaged_after"] > 0.0)]
    each = differences(seen, comparison)
    whole = differences(_total(seen), comparison).iloc[0]
    worse = each["significant"] & (each["density_change_m_per_m2"] > 0.0)
    total = _total(seen).iloc[0]
    first, second = comparison.accuracy
    return ChangeSummary(
        segments=len(found),
        segments_compared=len(seen),
        worse=int(worse.sum()),
        better=int((each["significant"] & ~worse).sum()),
        density_before_m_per_m2=_ratio(total["length_before"], total["imaged_before"]),
        density_after_m_per_m2=_ratio(total["length_after"], total["imaged_after"]),
        density_change_m_per_m2=known(whole["density_change_m_per_m2"]),
        uncertainty_m_per_m2=known(whole["uncertainty_m_per_m2"]),
        significant=bool(whole["significant"]),
        tolerance_m=comparison.tolerance_m,
        precision_before=first.precision,
        recall_before=first.recall,
        precision_after=second.precision,
        recall_after=second.recall,
        accuracy_stated=first.stated and second.stated,
    )


def _total(figures: pd.DataFrame) -> pd.DataFrame:
    return figures.sum().to_frame().T


def _ratio(length_m: float, imaged_m2: float) -> float | None:
    return float(length_m / imaged_m2) if imaged_m2 > 0.0 else None
