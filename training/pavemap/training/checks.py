"""What is wrong with a training is said before anything starts."""

from __future__ import annotations

from pathlib import Path

from pavemap.training.config import TrainConfig
from pavemap.training.data.datasets import check_sources, list_pairs, shows_cracks
from pavemap.training.data.manifest import read_manifest
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadModel, BadTrainingConfig
from pavemap.training.models.card import CARD_FILE, check_vectorize

ROUNDED = 1.01
"""How much a pixel size may be off by rounding and by the map's scale."""


def check(config: TrainConfig) -> int:
    """Check settings and data without starting anything; the number of training images.

    Raises BadTrainingConfig or BadTrainingData.
    """
    from pavemap.training.architectures import build_network

    try:
        build_network(config.architecture, config.architecture_args)
        check_vectorize(config.vectorize or {}, threshold=config.threshold)
    except BadModel as exc:
        raise BadTrainingConfig(str(exc)) from exc
    count = check_sources(config.data)
    check_sources([*config.validation, *config.tests])
    check_pixel_sizes(config)
    check_tests_apart(config)
    check_validation(config)
    check_output(config.output)
    return count


def check_pixel_sizes(config: TrainConfig) -> None:
    """Raise BadTrainingConfig where a set's manifest tells of pixels that the model isn't meant for.

    The card says at which pixel size imagery is read, and a network knows cracks as wide as they were
    in what taught it.
    """
    finest, coarsest = config.gsd_range_m
    for source in (*config.data, *config.validation, *config.tests):
        manifest = read_manifest(source.folder)
        gsd_m = None if manifest is None else manifest.gsd_m
        if gsd_m is not None and not finest / ROUNDED <= gsd_m <= coarsest * ROUNDED:
            raise BadTrainingConfig(
                f"{source.label} has {gsd_m:g} m a pixel, and the model is meant for {finest:g} to "
                f"{coarsest:g}; if that is the imagery it is to read, set gsd_m = {gsd_m:g} and a "
                "gsd_range_m around it; else export or import the set at another pixel size"
            )


def check_tests_apart(config: TrainConfig) -> None:
    """Raise BadTrainingConfig where what is tested on is taught, or chooses the threshold.

    A model that has learnt its test images by heart would be promoted over one that has not. Images are
    told apart by their files.
    """
    known = {
        path: source for source in (*config.data, *config.validation) for path in _images(source)
    }
    for source in config.tests:
        shared = [path for path in _images(source) if path in known]
        if shared:
            raise BadTrainingConfig(
                f"tests: {len(shared)} images of {source.label} are among those of "
                f"{known[shared[0]].label}, by which the model learns or chooses; the first is "
                f"{shared[0]}; "
                "keep some out: other lists, or leave_out_every with left_out = true here"
            )


def check_validation(config: TrainConfig) -> None:
    """Raise BadTrainingConfig where no validation image shows a crack: every threshold would do there."""
    if config.validation and not any(shows_cracks(source) for source in config.validation):
        raise BadTrainingConfig(
            "validation: none of its images shows a crack, so no threshold can be chosen by them; name "
            "images with cracks, or none and give the threshold"
        )


def check_output(output: Path) -> None:
    """Raise BadTrainingConfig where the finished model would take the place of something else."""
    if output.exists() and not output.is_dir():
        raise BadTrainingConfig(f"output {output} is a file; name a folder")
    model = output / "model"
    taken = model.is_dir() and any(model.iterdir()) and not (model / CARD_FILE).is_file()
    if taken or (model.exists() and not model.is_dir()):
        raise BadTrainingConfig(
            f"output: the finished model goes to {model}, where something else is; name another folder"
        )


def _images(source: DataSource) -> list[Path]:
    return [pair.image.resolve() for pair in list_pairs(source)]
