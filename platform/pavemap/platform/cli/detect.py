"""`pavemap detect`: cracks of files, without server, database or Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavemap.geo.errors import BadInput
from pavemap.platform.cli.console import Json, counted, note, note_warnings, progress_bars
from pavemap.platform.cli.file_roads import RoadOptions, takes_roads
from pavemap.platform.cli.file_survey import OUTPUT_HELP, report, write_survey
from pavemap.platform.cli.rasters import rasters_at

if TYPE_CHECKING:
    from pavemap.geo.imagery.mosaic import Mosaic
    from pavemap.geo.imagery.orthophoto import Orthophoto
    from pavemap.platform.file_survey.survey import FileSurvey

ENLARGED = 4.0
"""How many times coarser than they are read pixels may be without a word."""


@takes_roads
def detect(
    tiles: Annotated[
        list[str], typer.Argument(help="GeoTIFFs, folders of them, or patterns: one survey.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=OUTPUT_HELP)] = Path("cracks.gpkg"),
    on_roads: RoadOptions = RoadOptions(),
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
    from pavemap.geo.imagery.mosaic import Mosaic
    from pavemap.platform.exports.export import Export
    from pavemap.platform.exports.output_files import check_output
    from pavemap.platform.file_survey.detect import DetectOptions, read_orthophotos, survey_files
    from pavemap.training.models.card import read_card
    from pavemap.training.models.shipped_models import find_model_folder

    if picture is not None and picture.suffix.lower() != ".png":
        raise BadInput(f"the map '{picture.name}' is a PNG; end its name in .png")
    if picture is not None:
        check_output(picture)
    on_roads.check()
    options = DetectOptions(
        gsd_m=gsd, threshold=threshold, crs=parse_metric_crs(crs) if crs else None
    )
    export = Export(output, layers=on_roads.layers(), inputs=[on_roads.roads])
    folder = find_model_folder(model)
    card = read_card(folder)
    photos = read_orthophotos(rasters_at(tiles))
    note_warnings(
        (photo.name, warning) for photo in photos for warning in photo.warnings(card.gsd_m)
    )
    _note_enlarging(photos, options.gsd_m or card.gsd_m)
    segments = on_roads.segments()
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
    others = f" and {len(photos) - 1:,} more" if len(photos) > 1 else ""
    files = write_survey(
        export,
        found,
        threshold=card.threshold if threshold is None else threshold,
        source=f"{photos[0].name}{others} by model {found.model}",
    )
    if picture is not None:
        _draw(picture, found, Mosaic(photos, found.crs), title=Path(tiles[0]).stem)
        files.append(str(picture))
    report(found, files, as_json=as_json)


def _note_enlarging(photos: Sequence[Orthophoto], gsd_m: float) -> None:
    """Say so where pixels are made up that take hours and show nothing."""
    coarse = [photo for photo in photos if photo.gsd_m > ENLARGED * gsd_m]
    have = [photo.width * photo.height / 1e6 for photo in coarse]
    made = [mpx * (photo.gsd_m / gsd_m) ** 2 for mpx, photo in zip(have, coarse, strict=True)]
    if sum(made) <= ENLARGED**2 * sum(photo.width * photo.height / 1e6 for photo in photos):
        return
    finest_m = min(photo.gsd_m for photo in coarse)
    note(
        f"Warning: at {gsd_m * 1000:g} mm a pixel {sum(have):,.1f} Mpx of imagery are enlarged to "
        f"{sum(made):,.0f} Mpx; --gsd {finest_m:.3g} reads them as they are"
    )


def _draw(path: Path, found: FileSurvey, mosaic: Mosaic, *, title: str) -> None:
    from pavemap.platform.maps.map_picture import draw_map

    lacking = draw_map(
        path,
        mosaic=mosaic,
        seen=found.seen,
        cracks=found.cracks,
        segments=found.segments,
        title=title,
        subtitle=f"{found.model} · pixels of {found.gsd_m * 1000:g} mm · "
        + counted(len(found.cracks), "crack"),
        sources="Made with pavemap.",
    )
    if lacking:
        note(
            f"Warning: the map has boxes for {lacking}, which no font here has; install one (on Debian "
            "fonts-noto-cjk for Chinese, Japanese and Korean) and draw it again"
        )
