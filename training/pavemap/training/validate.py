"""Validates a finished model again: `python -m pavemap.training.validate MODEL --config FILE`.

Calibration, threshold and figures of the card are made anew from the configuration's validation sets, as
at the end of training, with the vectoriser's parameters and the limits that it gives; the weights stay.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from pavemap.geo.errors import PavemapError
from pavemap.training.config import load_config
from pavemap.training.data.datasets import check_sources
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.finish import scored_on_tests, validated
from pavemap.training.models.card import (
    CARD_FILE,
    ModelCard,
    check_vectorize,
    read_card,
    write_card,
)
from pavemap.training.models.comparison import IN_USE, TESTS
from pavemap.training.models.shipped_models import find_model_folder


def validate(model: Path, config_file: Path) -> ModelCard:
    """Replace the card of a model folder by one validated anew.

    Raises BadModel, BadTrainingConfig, or BadTrainingData; the card is then as it was.
    """
    config = load_config(config_file)
    if not config.validation:
        raise BadTrainingConfig(f"{config_file} names no validation sets; add [[validation]]")
    check_sources([*config.validation, *config.tests])
    card = read_card(model)
    vectorize = card.vectorize if config.vectorize is None else config.vectorize
    check_vectorize(vectorize, threshold=config.threshold)
    if card.metrics.get(TESTS) and not config.tests:
        raise BadTrainingConfig(
            f"{config_file} names no test sets, and the scores in the card are of its former threshold; "
            "add [[tests]]"
        )
    metrics = {name: value for name, value in card.metrics.items() if name != IN_USE}
    limits = config.notes or card.limits
    card = card.model_copy(update={"vectorize": vectorize, "limits": limits, "metrics": metrics})
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "model"
        shutil.copytree(model, copy)
        found = validated(card, copy, config.validation)
        write_card(found, copy)
        if config.tests:
            found = scored_on_tests(found, copy, config.tests)
    temporary = model / f".{CARD_FILE}"
    temporary.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(model / CARD_FILE)
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; prints the threshold, the calibration and the mean F1."""
    parser = argparse.ArgumentParser(
        prog="python -m pavemap.training.validate", description=__doc__
    )
    parser.add_argument("model", help="a model folder or a shipped model's name")
    parser.add_argument("--config", type=Path, required=True, help="a .json or .toml file")
    options = parser.parse_args(arguments)
    try:
        card = validate(find_model_folder(options.model), options.config)
    except PavemapError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    mean = card.metrics["validation_mean_f1"]
    said = f"threshold {card.threshold:g}, calibration {card.calibration}, mean F1 {mean:.4f}"
    sys.stdout.write(f"{card.model_id}: {said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
