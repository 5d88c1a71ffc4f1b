"""Two surveys set side by side: which they are, and their figures of the same segments.

Segments are the same where their lineage is, so that comparisons go on over imports of a network.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from pavemap.geo.change import DetectorAccuracy, density_changes
from pavemap.geo.change_lines import default_tolerance_m
from pavemap.geo.errors import BadInput, Conflict
from pavemap.geo.limits import MAX_TOLERANCE_M
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.networks import get_network
from pavemap.geo.store.surveys import SurveyRow, get_survey

FIGURES = (
    *("length_before", "imaged_before", "pavement_before"),
    *("length_after", "imaged_after", "pavement_after"),
)
"""What is read of a segment, by names of COLUMNS."""

COLUMNS = """b.crack_length_m AS length_before, b.imaged_m2 AS imaged_before,
    b.pavement_m2 AS pavement_before, a.crack_length_m AS length_after,
    a.imaged_m2 AS imaged_after, a.pavement_m2 AS pavement_after"""
"""In SQL, of the conditions a after and b before."""

BOTH = """condition a JOIN segment s ON s.id = a.segment_id
    JOIN segment t ON t.network_id = {former_network}
        AND coalesce(t.lineage, t.id) = coalesce(s.lineage, s.id)
    JOIN condition b ON b.survey_id = {before} AND b.segment_id = t.id"""
"""A segment of the later survey, and the same stretch of road in the network of the earlier one."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two surveys, the earlier and the later, and by how much their places may differ."""

    before: SurveyRow
    after: SurveyRow
    tolerance_m: float
    accuracy: tuple[DetectorAccuracy, DetectorAccuracy]
    """Of the detector before and after."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statements name."""
        return {
            "before": self.before.id,
            "after": self.after.id,
            "former_network": self.before.network_id,
        }


def compare_surveys(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    since: uuid.UUID,
    tolerance_m: float | None = None,
) -> Comparison:
    """Prepare the comparison of a survey with an earlier one.

    The tolerance is by default that of both pixel sizes and position errors (`default_tolerance_m`).
    Raises NotFound for an unknown survey, Conflict while one of them has no figures, BadInput for a
    survey compared with itself or a tolerance that is none.
    """
    before, after = get_survey(connection, since), get_survey(connection, survey_id)
    if before.id == after.id:
        raise BadInput("a survey can't be compared with itself; name an earlier one of the network")
    for survey in (before, after):
        if survey.state != "done":
            raise Conflict(
                f"survey '{survey.name}' is {survey.state}, not done; compare it when it is measured"
            )
    if tolerance_m is None:
        of_before, of_after = (get_network(connection, each.network_id) for each in (before, after))
        tolerance_m = default_tolerance_m(
            (before.ground_gsd_m(of_before.bounds), after.ground_gsd_m(of_after.bounds)),
            (before.position_rmse_m, after.position_rmse_m),
        )
    if not 0.0 < tolerance_m <= MAX_TOLERANCE_M:
        raise BadInput(
            f"a tolerance of {tolerance_m:g} m matches nothing or everything; give one such as 0.15"
        )
    models = [get_model(connection, survey.model_id).card for survey in (before, after)]
    return Comparison(
        before=before,
        after=after,
        tolerance_m=tolerance_m,
        accuracy=(DetectorAccuracy.from_card(models[0]), DetectorAccuracy.from_card(models[1])),
    )


def differences(figures: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """Return the change of density of each row of FIGURES (see `pavemap.geo.change`)."""
    before, after = (
        pd.DataFrame(
            {
                "crack_length_m": figures[f"length_{when}"],
                "imaged_m2": figures[f"imaged_{when}"],
                "coverage": (figures[f"imaged_{when}"] / figures[f"pavement_{when}"]).clip(upper=1),
            }
        )
        for when in ("before", "after")
    )
    return density_changes(before, after, accuracy=comparison.accuracy)


def known(value: float) -> float | None:
    """Return a number, or None for one that is not known (NaN)."""
    return float(value) if np.isfinite(value) else None
