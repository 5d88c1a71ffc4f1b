"""`pavemap change`: what became of cracks since an earlier survey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pavemap.geo.limits import ASSUMED_ACCURACY, MAX_TOLERANCE_M
from pavemap.platform.cli.console import (
    Json,
    counted,
    note,
    number,
    print_json,
    print_table,
    progress_bars,
    rows_shown,
    say,
)
from pavemap.platform.cli.remote import HERE, Server, SurveyName, connect
from pavemap.platform.cli.results import Limit


def change(
    survey: SurveyName,
    since: Annotated[str, typer.Option(help="Id or name of the earlier survey.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .gpkg with both layers, or .geojson or .csv with the segments; the cracks "
            "are then in NAME_crack_changes beside it.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=MAX_TOLERANCE_M, help="Metres the surveys may show the same crack apart."
        ),
    ] = None,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Tell what changed since an earlier survey of the same roads, the worst first.

    The file holds every segment that the imagery of both surveys reaches, with its change, and every
    crack as new, grown, gone or unchanged.
    """
    from pavemap.platform.client.server_connection import features
    from pavemap.platform.client.survey_download import export_changes

    with connect(server) as client, progress_bars(quiet=as_json) as bars:
        later, earlier = client.find_survey(survey), client.find_survey(since)
        if not as_json:
            _note_order(later, earlier)
            _note_reviews(later, earlier)
        asked = {"since": earlier["id"], "tolerance_m": tolerance}
        whole = client.change_summary(later["id"], **asked)
        files: list[str] = []
        if output is not None:
            made = export_changes(
                client,
                later,
                earlier,
                output,
                summary=whole,
                tolerance_m=tolerance,
                on_rows=rows_shown(bars),
            )
            files = [str(file) for file in made]
        found = list(features(client.change(later["id"], **asked, at_most=limit), limit))
    if as_json:
        shown = {"type": "FeatureCollection", "features": found}
        print_json({"files": files, "summary": whole, **shown})
        return
    _print_change(whole, [feature["properties"] for feature in found])
    for file in files:
        say(file)


def _note_order(later: dict[str, Any], earlier: dict[str, Any]) -> None:
    dates = later["captured_on"], earlier["captured_on"]
    if None not in dates and dates[0] < dates[1]:
        note(
            f"'{later['name']}' was captured on {dates[0]}, before '{earlier['name']}' ({dates[1]}): what "
            "is called new here was gone later; --since takes the earlier survey"
        )


def _note_reviews(later: dict[str, Any], earlier: dict[str, Any]) -> None:
    corrected = [each["name"] for each in (later, earlier) if each["heeded_reviews"] is not None]
    if len(corrected) == 1:
        note(
            f"the figures of '{corrected[0]}' alone heed reviews: what was rejected or drawn there looks "
            "like change; `pavemap review apply` works out the other's so, or these without (--undo)"
        )


def _print_change(whole: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    print_table(
        [
            "segment",
            "road",
            "before",
            "after",
            "change",
            "±",
            "new m",
            "grown m",
            "gone m",
            "same m",
        ],
        [
            [
                row["segment_key"],
                row["name"] or "–",
                number(row["density_before_m_per_m2"], 3),
                number(row["density_after_m_per_m2"], 3),
                number(row["density_change_m_per_m2"], 3) + ("!" if row["significant"] else ""),
                number(row["uncertainty_m_per_m2"], 3),
                *(number(row[f"{kind}_m"], 1) for kind in ("new", "grown", "gone", "unchanged")),
            ]
            for row in rows
        ],
        spare=("same m", "road", "gone m", "grown m", "new m"),
    )
    if not whole["segments_compared"]:
        note(
            "the two surveys have no segment in common: compare surveys of one network, or import the "
            "newer network with --replaces"
        )
    say(
        f"network: {number(whole['density_before_m_per_m2'], 3)} to "
        f"{number(whole['density_after_m_per_m2'], 3)} m/m², change "
        f"{number(whole['density_change_m_per_m2'], 3)} ± {number(whole['uncertainty_m_per_m2'], 3)}; "
        f"{whole['worse']:,} of {counted(whole['segments_compared'], 'segment')} worse, "
        f"{whole['better']:,} better"
    )
    note(
        f"! is larger than its uncertainty (95 %). Cracks are the same within {whole['tolerance_m']:.2f} m."
    )
    if not whole["accuracy_stated"]:
        note(
            f"A model's card states no precision and recall; {ASSUMED_ACCURACY} is assumed for both."
        )
