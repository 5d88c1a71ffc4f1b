"""`pavemap demo`: the main job on the example street, start to finish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pavemap.platform.cli.console import (
    Json,
    note,
    number,
    print_facts,
    print_json,
    progress_bars,
    say,
)
from pavemap.platform.cli.tables import print_segments

WORST = 6


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for map and GeoPackage.")
    ] = Path("demo"),
    examples: Annotated[Path, typer.Option(help="Folder of the example survey.")] = Path(
        "examples/street"
    ),
    as_json: Json = False,
) -> None:
    """Survey the example street through the production parts: upload, Ray Serve, network, PostGIS.

    Everything is started for it, on free ports and in a home of its own, and ended again. On a server
    that PAVEMAP_DATABASE_URL names it makes a database beside that one, its name with _demo behind.
    """
    from pavemap.platform.demo import of_its_own, run_demo
    from pavemap.platform.settings import load_settings

    settings = of_its_own(load_settings())
    with progress_bars(transfer=False, quiet=as_json) as bars:
        result = run_demo(
            examples=examples, output=output, settings=settings, report=note, bars=bars
        )
    if as_json:
        print_json(
            {
                "survey": result.survey,
                "summary": result.summary,
                "segments": result.segments,
                "files": [str(result.picture), str(result.geopackage)],
                "seconds": {name: round(spent, 1) for name, spent in result.seconds.items()},
            }
        )
        return
    total = sum(result.seconds.values())
    steps = ", ".join(f"{name} {spent:.0f} s" for name, spent in result.seconds.items())
    say()
    print_facts(
        {
            "Surveyed": number(result.summary["imaged_m2"], 1, unit="m² of pavement"),
            "Cracks found": number(result.summary["crack_count"], 0),
            "Total length": number(result.summary["crack_length_m"], 1, unit="m on pavement"),
            "Mean density": number(result.summary["density_m_per_m2"], 3, unit="m/m²"),
            "Took": f"{total:.0f} s ({steps})",
        }
    )
    say("\nThe worst segments:\n")
    ranked = [row for row in result.segments if row["density_m_per_m2"] is not None]
    print_segments(ranked[:WORST])
    say()
    print_facts(
        {
            "Map": str(result.picture),
            "GeoPackage": f"{result.geopackage} (layers segments, cracks; styled for QGIS)",
        }
    )
