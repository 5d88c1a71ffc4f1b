"""`pavemap segments`, `cracks` and `export`: what a survey found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pavemap.platform.cli.console import (
    Json,
    note,
    number,
    print_json,
    print_table,
    progress_bars,
    say,
)
from pavemap.platform.cli.remote import HERE, Bbox, Server, SurveyName, connect
from pavemap.platform.transfer import SERVED_LAYERS, ServedLayer, copy_layer

Feature = dict[str, Any]


Sort = Literal[
    "density",
    "segment_key",
    "crack_length_m",
    "cracked_area_m2",
    "coverage",
    "crack_count",
    "length_m",
]

Limit = Annotated[int, typer.Option(min=1, help="How many to show at most.")]


def segments(
    survey: SurveyName,
    bbox: Bbox = None,
    min_density: Annotated[
        float | None, typer.Option(min=0, help="Least crack density, m/m².")
    ] = None,
    sort: Annotated[Sort, typer.Option(help="What to sort by.")] = "density",
    ascending: Annotated[bool, typer.Option("--asc", help="The smallest first.")] = False,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """List segments with their figures, the worst first; --json prints GeoJSON."""
    with connect(server) as client:
        pages = client.segments(
            client.find_survey(survey)["id"],
            bbox=bbox,
            min_density=min_density,
            sort=sort,
            order="asc" if ascending else "desc",
            limit=min(limit, 2000),
        )
        found = list(islice(_flat(pages), limit))
    if as_json:
        print_json({"type": "FeatureCollection", "features": found})
    else:
        print_segments([feature["properties"] for feature in found])


def cracks(
    survey: SurveyName,
    bbox: Bbox = None,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """List cracks with length and width; --json prints GeoJSON."""
    with connect(server) as client:
        pages = client.cracks(client.find_survey(survey)["id"], bbox=bbox, limit=min(limit, 2000))
        found = list(islice(_flat(pages), limit))
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
            feature["properties"]["model"],
        ]
        for feature in found
    ]
    print_table(["crack", "length m", "mean width mm", "95 % mm", "max width mm", "model"], rows)


def export(
    survey: SurveyName,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .gpkg, .geojson or .csv.")
    ],
    layer: Annotated[ServedLayer | None, typer.Option(help="Only this layer.")] = None,
    bbox: Bbox = None,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Write a survey's segments and cracks for a GIS or a spreadsheet.

    A GeoPackage holds both layers, with styles for QGIS; of GeoJSON and CSV each layer is a file.
    """
    from pavemap.platform.export import Export

    layers = (layer,) if layer else SERVED_LAYERS
    with connect(server) as client, progress_bars(quiet=as_json) as bars:
        found = client.find_survey(survey)
        if found["state"] != "done" and not as_json:
            note(f"the survey is {found['state']}: these are the figures of its last finished run")
        counts: dict[str, int] = {}
        with Export(output, layers=layers) as made:
            for name in layers:
                task = bars.add_task(name.capitalize(), total=None)
                for count in copy_layer(client, found["id"], made, layer=name, bbox=bbox):
                    counts[name] = count
                    bars.update(task, completed=count)
    files = [str(file) for file in made.files]
    if as_json:
        print_json({"files": files, "features": {name: counts.get(name, 0) for name in layers}})
        return
    for name in layers:
        note(f"{counts.get(name, 0):,} {name}")
    for file in files:
        say(file)


def print_segments(rows: list[dict[str, Any]]) -> None:
    """Print segments as a table."""
    print_table(
        [
            "segment",
            "road",
            "from–to m",
            "m/m²",
            "cracks",
            "length m",
            "imaged m²",
            "coverage",
            "unseen",
        ],
        [
            [
                row["segment_key"],
                row["name"] or "–",
                f"{row['from_m']:.0f}–{row['to_m']:.0f}",
                number(row["density_m_per_m2"], 3),
                f"{row['crack_count']:,}",
                number(row["crack_length_m"], 1),
                number(row["imaged_m2"], 1),
                f"{row['coverage']:.0%}",
                row["reason"],
            ]
            for row in rows
        ],
    )


def _flat(pages: Iterator[list[Feature]]) -> Iterator[Feature]:
    for page in pages:
        yield from page
