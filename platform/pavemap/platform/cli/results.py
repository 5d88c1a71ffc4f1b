"""`pavemap segments`, `cracks` and `export`: what a survey found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pavemap.geo.store.figures import Sort
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
from pavemap.platform.cli.remote import HERE, Bbox, Server, SurveyName, connect
from pavemap.platform.cli.survey_progress import note_standing
from pavemap.platform.cli.tables import print_segments
from pavemap.platform.client.survey_download import SERVED_LAYERS, ServedLayer, export_survey

Limit = Annotated[int, typer.Option(min=1, help="How many to show at most.")]


def segments(
    survey: SurveyName,
    bbox: Bbox = None,
    min_density: Annotated[
        float | None, typer.Option(min=0, help="Least crack density, m/m².")
    ] = None,
    confident: Annotated[
        bool | None,
        typer.Option(
            "--confident/--not-confident", help="Only figures that rest on enough coverage, or not."
        ),
    ] = None,
    sort: Annotated[Sort, typer.Option(help="What to sort by.")] = "density",
    ascending: Annotated[
        bool | None,
        typer.Option(
            "--asc/--desc",
            help="The smallest or the largest first; else the worst, of keys the first.",
        ),
    ] = None,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """List segments with their figures, the worst first; --json prints GeoJSON."""
    from pavemap.platform.client.server_connection import features

    with connect(server) as client:
        known = client.find_survey(survey)
        note_standing(known)
        pages = client.segments(
            known["id"],
            bbox=bbox,
            min_density=min_density,
            confident=confident,
            sort=sort,
            order=None if ascending is None else "asc" if ascending else "desc",
            at_most=limit,
        )
        found = list(features(pages, limit))
    if as_json:
        print_json({"type": "FeatureCollection", "features": found})
        return
    if found or known["finished_at"] is not None:
        print_segments([feature["properties"] for feature in found])


def cracks(
    survey: SurveyName,
    bbox: Bbox = None,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """List cracks with length and width; --json prints GeoJSON."""
    from pavemap.platform.client.server_connection import features

    with connect(server) as client:
        pages = client.cracks(client.find_survey(survey)["id"], bbox=bbox, at_most=limit)
        found = list(features(pages, limit))
    if as_json:
        print_json({"type": "FeatureCollection", "features": found})
        return
    rows = [
        [
            str(feature["id"]),
            number(feature["properties"]["length_m"], 2),
            number(feature["properties"]["width_mean_mm"], 1),
            number(feature["properties"]["width_p95_mm"], 1),
            number(feature["properties"]["width_max_mm"], 1),
            number(feature["properties"]["confidence"], 2),
            feature["properties"]["model"] or "drawn",
        ]
        for feature in found
    ]
    print_table(
        ["crack", "length m", "mean width mm", "95 % mm", "max width mm", "confidence", "model"],
        rows,
    )


def export(
    survey: SurveyName,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .gpkg with both layers, or .geojson or .csv with the segments; the cracks "
            "are then in NAME_cracks beside it.",
        ),
    ],
    layer: Annotated[ServedLayer | None, typer.Option(help="Only this layer.")] = None,
    bbox: Bbox = None,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Write a survey's segments and cracks for a GIS or a spreadsheet.

    A GeoPackage holds both layers, with styles for QGIS; of GeoJSON and CSV each layer is a file.
    """
    layers = (layer,) if layer else SERVED_LAYERS
    counts: dict[str, int] = dict.fromkeys(layers, 0)
    with connect(server) as client, progress_bars(quiet=as_json) as bars:
        found = client.find_survey(survey)
        note_standing(found)
        on_rows = rows_shown(bars, counts)
        made = export_survey(client, found, output, layers=layers, bbox=bbox, on_rows=on_rows)
    files = [str(file) for file in made]
    if as_json:
        print_json({"files": files, "features": counts})
        return
    for name, count in counts.items():
        note(counted(count, name.removesuffix("s")))
    if bbox is not None and not any(counts.values()):
        note(f"nothing of the survey lies in {bbox}: is that west,south,east,north in degrees?")
    for file in files:
        say(file)
