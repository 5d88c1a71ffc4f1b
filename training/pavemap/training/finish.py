"""From a checkpoint to a model folder: weights, a threshold chosen on validation images, a card."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pavemap.geo.file_digest import file_digest
from pavemap.training.architectures import build_network
from pavemap.training.checkpoint import final_weights, saved_iteration
from pavemap.training.config import TrainConfig
from pavemap.training.data.datasets import LabelledImage, fingerprint, list_pairs
from pavemap.training.data.manifest import MANIFEST_FILE
from pavemap.training.data_source import DataSource
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import THRESHOLDS, Counts, counts_by_threshold
from pavemap.training.models.card import WEIGHTS_FILE, ModelCard, write_card
from pavemap.training.models.comparison import IN_USE, SHA256, TESTS
from pavemap.training.networks.dense import dense_form
from pavemap.training.rewritten import rewritten
from pavemap.training.scoring.calibration import Tally, fit, reliability
from pavemap.training.scoring.evaluate import detected, evaluate, threshold_curve
from pavemap.training.scoring.lengths import (
    Sizes,
    found_m,
    found_ratios,
    labelled_m,
    sizes_by_threshold,
    truest,
)
from pavemap.training.start import Weights, with_former

FORMER = "the weights of "
"""How the card begins its entry of the model that was learnt on from, among what taught it."""

SETTINGS_OF_A_PLACE = frozenset({"output", "ray_address", "mlflow_uri"})
"""What matters where a model was trained only, and is no one else's business."""

SAID_IN_THE_CARD = frozenset({"data", "validation", "tests", "licence", "intended_use", "notes"})
"""Settings that the card tells by itself, and tells anew when a model is validated again."""


def write_model(
    config: TrainConfig,
    checkpoint: Path,
    target: Path,
    *,
    former: Weights | None = None,
    seconds: float = 0.0,
    in_use: Path | None = None,
) -> ModelCard:
    """Write `target` with weights.safetensors and card.json, replacing a former model whole.

    The weights are the checkpoint's and, by the configuration's `start_share`, the `former` ones.
    Calibration and threshold come from the validation sets (see `validated`); without any the
    probabilities stay as they are and the threshold is the configured one. Then, all chosen, the test
    sets are scored, and the version `in_use` beside it.
    """
    with rewritten(target) as temporary:
        weights = with_former(final_weights(checkpoint), former, config.start_share)
        save_file(weights, temporary / WEIGHTS_FILE)
        (temporary / WEIGHTS_FILE).chmod(0o644)  # safetensors writes for the owner alone
        card = _card(config, temporary, iterations=saved_iteration(checkpoint), seconds=seconds)
        write_card(card, temporary)
        if config.validation:
            card = validated(card, temporary, config.validation)
            write_card(card, temporary)
        if config.tests:
            card = scored_on_tests(card, temporary, config.tests, in_use=in_use)
            write_card(card, temporary)
    return card


def _card(config: TrainConfig, folder: Path, *, iterations: int, seconds: float) -> ModelCard:
    training: dict[str, Any] = {
        "iterations": iterations,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "workers": config.workers,
        "seconds": round(seconds),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, torch {torch.__version__}",
        "settings": config.model_dump(
            mode="json", exclude={*SETTINGS_OF_A_PLACE, *SAID_IN_THE_CARD}
        ),
    }
    network = build_network(config.architecture, config.architecture_args)
    form = dense_form(network, stride=1)
    return ModelCard(
        name=config.name,
        version=config.version,
        architecture=config.architecture,
        architecture_args=config.architecture_args,
        channels=int(config.architecture_args.get("channels", 3)),
        gsd_m=config.gsd_m,
        gsd_range_m=config.gsd_range_m,
        reach_px=form.reach_px,
        threshold=config.threshold,
        vectorize=config.vectorize or {},
        data=[
            *([f"{FORMER}{config.start_from}"] if config.start_from else []),
            *(described(source) for source in config.data),
        ],
        licence=config.licence,
        intended_use=config.intended_use,
        limits=config.notes,
        training=training,
        digest=file_digest(folder / WEIGHTS_FILE),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def described(source: DataSource) -> str:
    """A set for the card: its name, its size, its licence, and the digest of its manifest."""
    said = [f"{len(list_pairs(source))} images", *([source.licence] if source.licence else [])]
    manifest = source.folder / MANIFEST_FILE
    if manifest.is_file():
        said.append(f"manifest {file_digest(manifest)}")
    return f"{source.label} ({', '.join(said)})"


def validated(card: ModelCard, folder: Path, sources: Iterable[DataSource]) -> ModelCard:
    """The card with what validation images say: calibration, threshold, scores, lengths.

    Probabilities are calibrated first. Of the thresholds with nearly the best F1 (a mean over sets)
    the one with the truest crack lengths and areas is taken; a set in which none is labelled has no say in
    that, and of it is told what was found. Images are read one by one, again for each step: in memory they
    would be gigabytes for a kilometre of road.
    """
    sets = list(sources)
    raw = _loaded(card.model_copy(update={"calibration": None}), folder)
    tally = Tally.of(chain.from_iterable(detected(raw, source) for source in sets))
    calibration = fit(tally)
    card = card.model_copy(update={"calibration": (calibration.slope, calibration.offset)})
    model = _loaded(card, folder)
    looks = [[_look(card, *seen) for seen in detected(model, source)] for source in sets]
    curve = threshold_curve([[look.counts for look in some] for some in looks])
    sizes = {
        source.label: [look.sizes for look in some]
        for source, some in zip(sets, looks, strict=True)
    }
    sound = {label: some for label, some in sizes.items() if not labelled_m(some)}
    ratios = {
        label: found_ratios(some, thresholds=THRESHOLDS)
        for label, some in sizes.items()
        if label not in sound
    }
    lengths, areas = ({label: both[k] for label, both in ratios.items()} for k in (0, 1))
    best = truest(curve, [*lengths.values(), *areas.values()])
    metrics = {
        "validation": [_scores(model, source, best) for source in sets],
        "validation_mean_f1": round(curve[best], 4),
        "threshold_curve": {f"{threshold:g}": round(f1, 4) for threshold, f1 in curve.items()},
        "length_ratio": _written(lengths),
        "area_ratio": _written(areas),
        "reliability": reliability(Tally.sum(look.tally for look in chain.from_iterable(looks))),
        "reliability_uncalibrated": reliability(tally),
    }
    if sound:
        found = {label: found_m(some, thresholds=THRESHOLDS) for label, some in sound.items()}
        metrics["found_where_none_is_m"] = _written(found)
    return card.model_copy(update={"threshold": best, "metrics": {**card.metrics, **metrics}})


@dataclass(frozen=True)
class _Look:
    """What is kept of one image that the calibrated model has seen, by THRESHOLDS."""

    tally: Tally
    counts: tuple[Counts, ...]
    sizes: Sizes


def _look(card: ModelCard, found: NDArray[np.uint8], image: LabelledImage) -> _Look:
    counted = np.where(image.ignore, np.uint8(0), found)
    return _Look(
        tally=Tally.of([(found, image)]),
        counts=counts_by_threshold(found, image.crack, ignore=image.ignore),
        sizes=sizes_by_threshold(
            counted,
            image.crack,
            thresholds=THRESHOLDS,
            vectorize=card.vectorize,
            gsd_m=card.gsd_m,
        ),
    )


def _loaded(card: ModelCard, folder: Path) -> CrackModel:
    write_card(card, folder)
    return CrackModel.load(folder)


def _written(by_set: Mapping[str, Mapping[float, float]]) -> dict[str, dict[str, float]]:
    return {
        label: {f"{threshold:g}": round(value, 4) for threshold, value in some.items()}
        for label, some in by_set.items()
    }


def scored_on_tests(
    card: ModelCard, folder: Path, sources: Iterable[DataSource], *, in_use: Path | None = None
) -> ModelCard:
    """The card with its scores on test sets, and those of the version in use from the same run."""
    sets = list(sources)
    model = CrackModel.load(folder)
    metrics: dict[str, Any] = {TESTS: [_tested(model, source) for source in sets]}
    if in_use is not None:
        other = CrackModel.load(in_use)
        metrics[IN_USE] = {
            "model": other.card.model_id,
            TESTS: [_tested(other, source) for source in sets],
        }
    return card.model_copy(update={"metrics": {**card.metrics, **metrics}})


def _tested(model: CrackModel, source: DataSource) -> dict[str, Any]:
    return {**_scores(model, source, model.card.threshold), SHA256: fingerprint([source])}


def _scores(model: CrackModel, source: DataSource, threshold: float) -> dict[str, Any]:
    found = evaluate(model, source, threshold=threshold).to_dict()
    return {
        name: value
        for name, value in found.items()
        if name not in {"seconds", "mpx_per_s", "model"}
    }
