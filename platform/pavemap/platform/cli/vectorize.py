"""`pavemap vectorize`: lines with length and width from a crack mask of any source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pavemap.geo.imagery.mask_values import Values
from pavemap.platform.cli.console import Json, note_warnings, progress_bars
from pavemap.platform.cli.file_roads import RoadOptions, takes_roads
from pavemap.platform.cli.file_survey import OUTPUT_HELP, report, write_survey
from pavemap.platform.cli.rasters import warn_of_masks_beside


@takes_roads
def vectorize(
    mask: Annotated[
        Path,
        typer.Argument(
            help="A GeoTIFF of one band, mask or probability: uint8, uint16 or float32 (0 to 1). Or, "
            "with --gsd, a PNG or TIFF without coordinates."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=OUTPUT_HELP)] = Path("cracks.gpkg"),
    values: Annotated[
        Values,
        typer.Option(
            help="What pixels say: mask (0 is background, all else crack) or probability (the type's "
            "whole range). By default a mask where there is one value besides 0."
        ),
    ] = "auto",
    threshold: Annotated[
        float, typer.Option(help="Probability from which a pixel is crack.")
    ] = 0.5,
    low_threshold: Annotated[
        float | None,
        typer.Option(help="Probability that is enough beside a pixel above the threshold."),
    ] = None,
    gap: Annotated[
        float, typer.Option(help="Pixels between two ends that face each other to be joined.")
    ] = 0.0,
    gap_angle: Annotated[
        float, typer.Option(help="Degrees within which they must face each other.")
    ] = 30.0,
    min_length: Annotated[
        float, typer.Option(help="Metres; shorter networks of cracks are dropped.")
    ] = 0.0,
    sure_threshold: Annotated[
        float | None,
        typer.Option(help="Probability from which a stretch counts towards --min-length."),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option(
            help="Metres a pixel of a picture without coordinates. Its cracks then lie in pixels: "
            "x the column, y minus the row, as GIS show such a picture."
        ),
    ] = None,
    on_roads: RoadOptions = RoadOptions(),
    as_json: Json = False,
) -> None:
    """Turn a crack mask, or a map of crack probability, of any source into lines with length and width.

    The same way that a survey takes after its network, which isn't needed here: for another model's
    output, a label drawn by hand, or to check the geometry by itself.
    """
    from pavemap.geo.crs import WGS84
    from pavemap.geo.vectorizing.vectorize import VectorizeParams
    from pavemap.platform.exports.export import Export
    from pavemap.platform.file_survey.vectorize import (
        PICTURE_CRS,
        VectorizeOptions,
        place_of,
        vectorize_file,
    )

    on_roads.check()
    params = VectorizeParams(
        threshold=threshold,
        low_threshold=low_threshold,
        gap_px=gap,
        gap_angle_deg=gap_angle,
        min_length_m=min_length,
        sure_threshold=sure_threshold,
    )
    placed = place_of(mask, gsd_m=gsd, with_roads=on_roads.roads is not None)
    export = Export(
        output,
        layers=on_roads.layers(),
        crs=WGS84 if placed else PICTURE_CRS,
        inputs=[on_roads.roads],
    )
    segments = on_roads.segments()
    with progress_bars(quiet=as_json) as bars:
        task = bars.add_task("Cells", total=None)
        found, read_as = vectorize_file(
            mask,
            segments=segments,
            options=VectorizeOptions(values=values, gsd_m=gsd, params=params),
            on_cell=lambda done, total: bars.update(task, completed=done, total=total),
        )
    warn_of_masks_beside([mask])
    note_warnings((mask.name, warning) for warning in found.warnings)
    source = f"{mask.name}, read as {read_as}"
    files = write_survey(export, found, threshold=params.threshold, source=source)
    report(found, files, as_json=as_json, more={"values": read_as})
