"""`pavemap training-data`: folders of images and masks, from reviews or from other people's labels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavemap.platform.cli.console import Json, note, print_facts, print_json
from pavemap.platform.cli.remote import HERE, Server, SurveyName, connect

if TYPE_CHECKING:
    from pavemap.training.manifest import Manifest

app = typer.Typer(
    help="Labelled images to train from: images/, masks/ and a manifest.", no_args_is_help=True
)

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder to make; it may not be there yet.")
]
ChipPx = Annotated[
    int, typer.Option("--chip-px", min=64, max=2048, help="Side of an image in pixels.")
]


@app.command("export")
def export_training_data(
    survey: SurveyName,
    output: Output,
    chip_px: ChipPx = 512,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Cut a survey's reviewed areas into images with masks; the same reviews give the same bytes.

    Confirmed and drawn cracks are crack, rejected ones are sound, and of what nobody judged nothing is
    taught. `folder = "..."` in a training configuration reads the result.
    """
    from pavemap.platform.training_data import unzipped
    from pavemap.training.pair_folder import check_target, write_folder

    check_target(output)
    with tempfile.TemporaryDirectory(prefix=".pavemap-", dir=output.absolute().parent) as place:
        archive = Path(place) / "training-data.zip"
        with connect(server) as client:
            client.training_data(client.find_survey(survey)["id"], archive, chip_px=chip_px)
        manifest = write_folder(unzipped(archive), output)
    outside = manifest.source.get("reviews", {}).get("outside_areas", 0)
    if outside and not as_json:
        note(
            f"{outside:,} reviews lie outside the areas that were looked at whole; they teach nothing"
        )
    tell(manifest, output, as_json=as_json)


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
