"""`pavemap training-data`: folders of images and masks, from reviews or from other people's labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavemap.geo.limits import CHIP_PX, MAX_CHIP_PX, MAX_WIDTH_MM, MIN_CHIP_PX
from pavemap.platform.cli.console import (
    Json,
    counted,
    note,
    print_facts,
    print_json,
    progress_bars,
)
from pavemap.platform.cli.rasters import rasters_at
from pavemap.platform.cli.remote import HERE, Server, SurveyName, connect

if TYPE_CHECKING:
    from pavemap.training.data.manifest import Manifest
    from pavemap.training.data.pair_folder import Files

app = typer.Typer(
    help="Labelled images to train from: images/, masks/ and a manifest.", no_args_is_help=True
)

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder to make; it may not be there yet.")
]
ChipPx = Annotated[
    int,
    typer.Option("--chip-px", min=MIN_CHIP_PX, max=MAX_CHIP_PX, help="Side of an image in pixels."),
]


@app.command("export")
def export_training_data(
    survey: SurveyName,
    output: Output,
    chip_px: ChipPx = CHIP_PX,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Cut a survey's reviewed areas into images with masks; the same reviews give the same bytes.

    Confirmed and drawn cracks are crack, rejected ones are sound, and of what nobody judged nothing is
    taught. `folder = "..."` in a training configuration reads the result.
    """
    from pavemap.geo.scratch import beside
    from pavemap.platform.exports.output_files import writing
    from pavemap.platform.zip_stream import unzipped
    from pavemap.training.data.pair_folder import check_target, write_folder

    check_target(output)
    with writing(output), beside(output) as place:
        archive = place / "training-data.zip"
        with connect(server) as client:
            client.training_data(client.find_survey(survey)["id"], archive, chip_px=chip_px)
        manifest = write_folder(unzipped(archive), output)
    outside = manifest.source.get("reviews", {}).get("outside_areas", 0)
    if outside and not as_json:
        note(f"of no use: {counted(outside, 'review')} outside the areas that were looked at whole")
    tell(manifest, output, as_json=as_json)


@app.command("import-coco")
def import_coco(
    labels: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="COCO labels (.json).")
    ],
    images: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of their images.")
    ],
    output: Output,
    category: Annotated[
        list[str] | None,
        typer.Option(help="Category that is crack; by default those called so. May be repeated."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="Category of which nothing is to be taught. May be repeated."),
    ] = None,
    gsd: Annotated[
        float | None, typer.Option(min=0.0001, max=1, help="Metres a pixel, where known.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make training data of COCO labels: outlines or run-length masks, and the folder of images.

    What has a box but no outline is taught neither as crack nor as sound.
    """
    from pavemap.training.data.coco import coco_files

    files = coco_files(labels, images, categories=category or (), ignored=ignore or (), gsd_m=gsd)
    doubt = "what is taken for crack may be something else (--category)"
    _write(files, output, doubt=doubt, as_json=as_json)


@app.command("import-gis")
def import_gis(
    labels: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Lines or polygons of cracks: GeoPackage, GeoJSON, zipped Shapefile or GeoParquet.",
        ),
    ],
    tiles: Annotated[
        list[str], typer.Argument(help="GeoTIFFs that they lie on: files, folders, patterns.")
    ],
    output: Output,
    layer: Annotated[
        str | None, typer.Option(help="Layer of the labels, if the file has several.")
    ] = None,
    width_field: Annotated[
        str | None, typer.Option(help="Field of a line's width in mm; by default width_mm.")
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            "--width-mm", min=0.1, max=MAX_WIDTH_MM, help="Width of lines that state none."
        ),
    ] = None,
    areas: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Polygons that were labelled whole; by default all of the imagery is.",
        ),
    ] = None,
    areas_layer: Annotated[
        str | None, typer.Option(help="Layer of the areas, if the file has several.")
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option(min=0.0001, max=1, help="Metres a pixel; by default the finest imagery's."),
    ] = None,
    chip_px: ChipPx = CHIP_PX,
    as_json: Json = False,
) -> None:
    """Make training data of lines or polygons over GeoTIFFs, in any CRS; no server is needed.

    A field `verdict` is heeded as in reviews (confirmed, rejected, drawn, or empty), so the cracks of
    `pavemap detect` can be judged in a GIS and learnt from.
    """
    from pavemap.training.data.gis_labels import GisLabels, gis_files

    what = GisLabels(
        labels=labels,
        layer=layer,
        width_field=width_field,
        width_mm=width,
        areas=areas,
        areas_layer=areas_layer,
        gsd_m=gsd,
        chip_px=chip_px,
    )
    doubt = "lines may be too wide (--width-field, --width-mm), or the labelled areas too small (--areas)"
    _write(gis_files(what, rasters_at(tiles)), output, doubt=doubt, as_json=as_json)


@app.command("import-pairs")
def import_pairs(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder with images/ and masks/.")
    ],
    output: Output,
    list_name: Annotated[
        str | None, typer.Option("--list", help="Only the images of this list file (train.txt).")
    ] = None,
    inverted: Annotated[
        bool, typer.Option("--inverted", help="Cracks are black on white in the masks.")
    ] = False,
    crack_value: Annotated[
        list[int] | None,
        typer.Option(help="Value of crack in the masks; by default from 128. May be repeated."),
    ] = None,
    ignore_value: Annotated[
        list[int] | None,
        typer.Option(help="Value of which nothing is to be taught. May be repeated."),
    ] = None,
    gsd: Annotated[
        float | None, typer.Option(min=0.0001, max=1, help="Metres a pixel, where known.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make training data with a manifest of a folder of images and masks, however those are coded.

    Such folders can be trained from as they are, too; a manifest makes sure that they stay what they are.
    """
    from pavemap.training.data.pair_import import exchanged, pair_files
    from pavemap.training.data_source import DataSource

    source = DataSource(
        folder=folder,
        list=list_name,
        inverted=inverted,
        crack_values=tuple(crack_value or ()),
        ignore_values=tuple(ignore_value or ()),
    )
    _write(pair_files(source, gsd_m=gsd), output, doubt=exchanged(source), as_json=as_json)


def _write(files: Files, output: Path, *, doubt: str, as_json: bool) -> None:
    """Write a set, showing how many images it has so far; `doubt` is said where most of it is crack."""
    from pavemap.training.data.pair_folder import write_folder

    with progress_bars(quiet=as_json) as bars:
        task = bars.add_task("Images", total=None)

        def counted() -> Files:
            for name, content in files:
                yield name, content
                bars.advance(task, 1 if name.startswith("images/") else 0)

        manifest = write_folder(counted(), output)
    tell(manifest, output, as_json=as_json)
    _warn_of_most_crack(manifest, output, doubt)


def _warn_of_most_crack(manifest: Manifest, output: Path, doubt: str) -> None:
    from pavemap.platform.file_survey.vectorize import MOST_CRACK

    pixels = manifest.pixels()
    share = pixels["crack"] / max(pixels["crack"] + pixels["sound"], 1)
    if share > MOST_CRACK:
        note(
            f"Warning: {share:.0%} of the known pixels are crack: {doubt}; if so, remove {output} and "
            "import again"
        )


def tell(manifest: Manifest, folder: Path, *, as_json: bool) -> None:
    """Say what a set holds."""
    pixels = manifest.pixels()
    if as_json:
        facts = {"folder": str(folder), "images": len(manifest.images), "pixels": pixels}
        print_json({**facts, "source": manifest.source})
        return
    whole = max(sum(pixels.values()), 1)
    shares = ", ".join(f"{name} {count / whole:.2%}" for name, count in pixels.items())
    print_facts({"images": f"{len(manifest.images):,}", "pixels": shares, "written": str(folder)})
