"""Training and models: `train`, `evaluate`, `model list`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pavemap.platform.cli.console import (
    Json,
    note,
    print_facts,
    print_json,
    print_table,
    progress_bars,
    say,
)
from pavemap.platform.cli.remote import HERE, Server, connect

if TYPE_CHECKING:
    from pavemap.training.config import TrainConfig

models = typer.Typer(help="Models that detect cracks.", no_args_is_help=True)

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Settings and data of the run, .toml or .json.")
]


def train(
    config: ConfigFile,
    submit: Annotated[
        bool,
        typer.Option(
            "--submit", help="Hand it to the Ray cluster of a pavemap server, don't train here."
        ),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="With --submit: show its log until it is over.")
    ] = False,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Train a network with Ray Train; the same command goes on where a run was interrupted."""
    from pavemap.training.config import load_config

    settings = load_config(config)
    if submit:
        _submit(settings, server, follow=follow, as_json=as_json)
    else:
        _train_here(settings, as_json=as_json)


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder with images/ and masks/.")],
    model: Annotated[
        str | None, typer.Option(help="A shipped model's name or id, or a model folder.")
    ] = None,
    list_name: Annotated[
        str | None, typer.Option("--list", help="Only the images of this list file (test.txt).")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability of a crack; else the card's.")
    ] = None,
    tolerance_px: Annotated[
        int, typer.Option(min=0, max=20, help="How far off a right pixel may be.")
    ] = 2,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first images.")] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures of right, wrong and missed pixels of each image."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a model on labelled images by the paper's metric: precision, recall and F1."""
    from pavemap.training.models.shipped_models import find_model_folder
    from pavemap.training.scoring.evaluate import evaluate as score

    folder = find_model_folder(model)
    with progress_bars(quiet=as_json) as bars:
        task = bars.add_task("Images", total=None)
        result = score(
            folder,
            data,
            list_name=list_name,
            threshold=threshold,
            tolerance_px=tolerance_px,
            limit=limit,
            pictures=pictures,
            on_image=lambda done, total: bars.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(result.to_dict())
    else:
        say(result.table())


@models.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that ship with pavemap; the first is the default."""
    from pavemap.training.models.card import read_card
    from pavemap.training.models.shipped_models import default_model_folder, shipped_model_folders

    default = default_model_folder()
    folders = sorted(shipped_model_folders(), key=lambda folder: (folder != default, folder.name))
    cards = [(folder, read_card(folder)) for folder in folders]
    if as_json:
        print_json(
            [
                {
                    "id": card.model_id,
                    "default": folder == default,
                    "folder": str(folder),
                    **card.model_dump(mode="json", exclude={"training"}),
                }
                for folder, card in cards
            ]
        )
        return
    rows = [
        [
            card.model_id + (" (default)" if folder == default else ""),
            card.architecture,
            f"{card.gsd_range_m[0] * 1000:g}–{card.gsd_range_m[1] * 1000:g} mm",
            f"{card.threshold:g}",
            card.licence,
        ]
        for folder, card in cards
    ]
    print_table(["model", "architecture", "pixel", "threshold", "licence"], rows)


@models.command("register")
def register_model(
    folder: Annotated[Path, typer.Argument(help="Folder with weights.safetensors and card.json.")],
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Add a trained model to a server's model versions; it is in use once it is promoted."""
    import tempfile

    from pavemap.training.models.model_archive import pack_model

    with tempfile.TemporaryDirectory() as place, connect(server) as client:
        pack_model(folder, Path(place) / "model.zip")
        added = client.add_model(Path(place) / "model.zip")
    if as_json:
        print_json(added)
    else:
        print_facts({"model": added["id"], "next": f"pavemap model promote {added['id']}"})


@models.command("versions")
def list_versions(server: Server = HERE, as_json: Json = False) -> None:
    """List a server's model versions, and which one new surveys are made with."""
    with connect(server) as client:
        versions = client.models()
    if as_json:
        print_json(versions)
        return
    rows = [
        [
            version["id"] + (" (in use)" if version["in_use"] else ""),
            version["architecture"],
            ", ".join(f"{name} {f1:.3f}" for name, f1 in version["f1"].items()),
            version["licence"],
        ]
        for version in versions
    ]
    print_table(["model", "architecture", "F1 on its test sets", "licence"], rows)


@models.command("promote")
def promote_model(
    model: Annotated[str, typer.Argument(help="Id of a model version.")],
    force: Annotated[bool, typer.Option("--force", help="Though it scores worse.")] = False,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Make new surveys with a model version; refused when it scores worse than the one in use."""
    with connect(server) as client:
        _told(client.promote_model(model, force=force), as_json=as_json)


@models.command("rollback")
def take_back(server: Server = HERE, as_json: Json = False) -> None:
    """Make new surveys with the version in use before the last promotion; again goes further back."""
    with connect(server) as client:
        _told(client.take_promotion_back(), as_json=as_json)


def _told(promotion: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(promotion)
        return
    gain = promotion["comparison"].get("gain")
    facts = {"in use": promotion["model_id"], "before": promotion["former_id"] or ""}
    print_facts({**facts, "gain in F1": "unknown" if gain is None else f"{gain:+.4f}"})


@models.command("export")
def export_model(
    output: Annotated[Path, typer.Option("-o", "--output", help="The .onnx file to write.")],
    model: Annotated[
        str | None, typer.Argument(help="A shipped model's name or id, or a model folder.")
    ] = None,
    tile_px: Annotated[int, typer.Option(help="Side of the file's input in pixels.")] = 512,
) -> None:
    """Write a model as an ONNX file that runs in QGIS with the Deepness plugin."""
    from pavemap.platform.exports.output_files import writing
    from pavemap.training.models.onnx_file import export_onnx
    from pavemap.training.models.shipped_models import find_model_folder

    folder = find_model_folder(model)
    with writing(output):
        card = export_onnx(folder, output, tile_px=tile_px)
    print_facts({"model": card.model_id, "written": str(output)})


def _train_here(settings: TrainConfig, *, as_json: bool) -> None:
    from pavemap.training.run import train as run

    with progress_bars(quiet=as_json) as bars:
        task = bars.add_task(settings.name, total=settings.iterations)

        def show(values: Mapping[str, Any]) -> None:
            if "iteration" in values:
                loss = values.get("loss")
                said = "" if loss is None else f" loss {loss:.4f}"
                bars.update(task, completed=values["iteration"], description=settings.name + said)

        with _environment_of_ray(settings):
            result = run(settings, on_progress=show)
    facts = {
        "model": result.model_id,
        "folder": str(result.model),
        "iterations": result.iterations,
        "loss": round(result.loss, 5),
        "seconds": round(result.seconds, 1),
        "metrics": result.metrics,
    }
    if as_json:
        print_json(facts)
    else:
        del facts["metrics"]
        print_facts({name: str(value) for name, value in facts.items()} | _scores(result.metrics))


@contextmanager
def _environment_of_ray(settings: TrainConfig) -> Iterator[None]:
    """Set a Ray that is started for a training up as `pavemap up` does, its token beside the training.

    Ray would put the token into the home, and give up sooner on a busy machine.
    """
    from pavemap.serving.ray_home import RayHome, ray_defaults

    if not settings.ray_address:
        os.environ.update(ray_defaults(os.environ))
    if settings.ray_address or {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        yield
        return
    home = RayHome.at(settings.output)
    os.environ.update(home.environment())
    try:
        yield
    finally:
        home.remove()


def _scores(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Tell in a line for each test set how well a model does on it."""
    return {
        f"on {test['data']}": "precision {precision:.4f}, recall {recall:.4f}, F1 {f1:.4f}".format(
            **test["mean"]
        )
        for test in metrics.get("tests", ())
    }


def _submit(settings: TrainConfig, server: str, *, follow: bool, as_json: bool) -> None:
    with connect(server) as client:
        job = client.submit_training(settings.model_dump(mode="json"))
        if not as_json:
            note(f"{job['id']} is {job['state']}")
        if follow and job["state"] != "succeeded":
            for text in client.training_log(job["id"]):
                typer.echo(text, nl=False, err=True)
            job = client.training_job(job["id"])
    if as_json:
        print_json(job)
    else:
        print_facts({name: str(job[name]) for name in ("id", "state", "message")})
    if job["state"] in {"failed", "stopped", "lost"} or (follow and job["state"] != "succeeded"):
        raise typer.Exit(1)
