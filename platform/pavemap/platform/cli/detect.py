"""`pavemap detect`: cracks of files, without server, database or Ray."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pavemap.geo.errors import BadInput
from pavemap.platform.cli.console import (
    Json,
    note,
    note_warnings,
    number,
    print_facts,
    print_json,
    progress_bars,
)
from pavemap.platform.cli.fields import (
    DefaultWidth,
    IdField,
    Layer,
    NameField,
    SegmentLength,
    WidthField,
    WidthUnit,
)
from pavemap.platform.cli.results import print_segments

if TYPE_CHECKING:
    from pavemap.platform.detect import FileSurvey
    from pavemap.platform.export import LayerName

DEFAULT_WIDTH_M, DEFAULT_SEGMENT_M = 7.0, 100.0
WORST = 10
"""Segments shown; the file has all of them."""


def detect(
    tiles: Annotated[
        list[str], typer.Argument(help="GeoTIFFs, folders of them, or patterns: one survey.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .gpkg, .geojson or .csv.")
    ] = Path("cracks.gpkg"),
    roads: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Road lines: gives density by segment."),
    ] = None,
    layer: Layer = None,
    segment_length: SegmentLength = None,
    id_field: IdField = None,
    name_field: NameField = None,
    width_field: WidthField = None,
    width_unit: WidthUnit = "m",
    default_width: DefaultWidth = None,
    gsd: Annotated[
        float | None, typer.Option(help="Metres a pixel to detect at; by default the model's.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Probability of a crack; by default the model's.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A shipped model's name or id, or a model folder.")
    ] = None,
    crs: Annotated[
        str | None, typer.Option(help="Metric CRS to work in; by default the UTM zone.")
    ] = None,
    picture: Annotated[Path | None, typer.Option("--map", help="Also draw a map, a PNG.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default a GPU where there is one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find cracks in georeferenced tiles: lines with length and width, and density by road segment.

    Needs no server, database or Ray. What tiles show twice is counted once. With --roads the output
    has a layer of segments too, and only pavement is looked at.
    """
    from pavemap.geo.crs import parse_metric_crs
    from pavemap.geo.road_table import FieldMap
    from pavemap.geo.roads import read_network
    from pavemap.geo.segments import segment_network
    from pavemap.platform.detect import DetectOptions, read_orthophotos, survey_files
    from pavemap.platform.export import Export
    from pavemap.platform.transfer import find_rasters
    from pavemap.training.card import read_card
    from pavemap.training.registry import find_model

    if picture is not None and picture.suffix.lower() != ".png":
        raise BadInput(f"the map '{picture.name}' is a PNG; end its name in .png")
    options = DetectOptions(
        gsd_m=gsd, threshold=threshold, crs=parse_metric_crs(crs) if crs else None
    )
    layers: tuple[LayerName, ...] = (
        ("cracks",) if roads is None else ("cracks", "segments", "pieces")
    )
    export = Export(output, layers=layers)
    folder = find_model(model)
    card = read_card(folder)
    photos = read_orthophotos(find_rasters(tiles))
    note_warnings(
        (photo.name, warning) for photo in photos for warning in photo.warnings(card.gsd_m)
    )
    segments = None
    if roads is not None:
        fields = FieldMap(
            road_id=id_field, name=name_field, width=width_field, width_unit=width_unit
        )
        width_m, length_m = default_width or DEFAULT_WIDTH_M, segment_length or DEFAULT_SEGMENT_M
        network = read_network(roads, layer=layer, fields=fields, default_width_m=width_m)
        for problem, count in network.summary().items():
            note(f"{roads.name}: {count:,} x {problem}")
        segments = segment_network(network, length_m=length_m)
    with progress_bars(quiet=as_json) as bars:
        task = bars.add_task("Cells", total=None)
        from pavemap.training.inference import CrackModel

        found = survey_files(
            photos,
            card=card,
            detect=CrackModel.load(folder, device=device).detect,
            segments=segments,
            options=options,
            on_cell=lambda done, total: bars.update(task, completed=done, total=total),
        )
    with export:
        export.write("cracks", found.cracks)
        if found.segments is not None and found.pieces is not None:
            export.write("segments", found.segments)
            export.write("pieces", found.pieces)
    files = [str(file) for file in export.files]
    if picture is not None:
        _draw(picture, found, tiles)
        files.append(str(picture))
    _report(found, files, as_json=as_json)


def _draw(path: Path, found: FileSurvey, tiles: list[str]) -> None:
    from pavemap.platform.map_picture import draw_map

    draw_map(
        path,
        mosaic=found.mosaic,
        cracks=found.cracks,
        segments=found.segments,
        title=Path(tiles[0]).stem,
        subtitle=f"{found.model} · pixels of {found.gsd_m * 1000:g} mm · {len(found.cracks):,} cracks",
        sources="Made with pavemap.",
    )


def _report(found: FileSurvey, files: list[str], *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "files": files,
        "model": found.model,
        "gsd_m": found.gsd_m,
        "cells": found.cells,
        "imaged_m2": round(found.imaged_m2, 3),
        "cracks": len(found.cracks),
        "crack_length_m": round(found.crack_length_m, 3),
        "density_m_per_m2": found.density_m_per_m2,
        "seconds": {name: round(spent, 2) for name, spent in found.seconds.items()},
        "wall_s": round(found.wall_s, 2),
        "mpx": round(found.mpx, 2),
        "mpx_per_s": {name: round(speed, 2) for name, speed in found.speeds().items()},
    }
    ranked = _ranked(found)
    if as_json:
        print_json(facts | ({} if found.segments is None else {"segments": ranked}))
        return
    ground = "imaged pavement" if found.segments is not None else "imaged"
    print_facts(
        {
            ground: number(found.imaged_m2, 1, unit="m²"),
            "cracks": f"{len(found.cracks):,}",
            "crack length": number(found.crack_length_m, 1, unit="m"),
            "density": number(found.density_m_per_m2, 3, unit="m/m²"),
            "time": f"{found.wall_s:.1f} s ({found.speeds()['overall']:.1f} Mpx/s)",
            "written": ", ".join(files),
        }
    )
    if ranked:
        print_segments(ranked[:WORST])


def _ranked(found: FileSurvey) -> list[dict[str, Any]]:
    """Return the imaged segments as JSON values, the worst first."""
    if found.segments is None:
        return []
    table = found.segments.drop(columns=["geometry", "line"])
    table = table[table["imaged_m2"] > 0.0].sort_values(
        ["density_m_per_m2", "segment_key"], ascending=[False, True]
    )
    rows: list[dict[str, Any]] = table.to_dict("records")
    return rows
