"""The pages that list what there is leave nothing out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.platform.exports.export_layers import LAYERS
from pavemap.platform.settings import Settings
from pavemap.training.config import Augmentation, DataSource, TrainConfig, load_config
from pavemap.training.models.shipped_models import default_card

ROOT = Path(__file__).resolve().parent.parent


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_every_column_of_an_export_is_told(layer: object) -> None:
    told = page("exports.md")
    first, last = "segment_key", "length_m"
    assert f"`{first}` to `{last}`" in told  # the columns that changes share with segments
    columns = next(one.columns for one in LAYERS.values() if one is layer)
    assert [name for name in columns if f"`{name}`" not in told] == []


def test_every_variable_of_the_environment_is_told() -> None:
    told = page("operations.md")
    names = [f"PAVEMAP_{name.upper()}" for name in Settings.model_fields]
    assert [name for name in names if f"`{name}`" not in told] == []


@pytest.mark.parametrize("settings", [TrainConfig, DataSource, Augmentation])
def test_every_setting_of_a_training_is_told(settings: type[TrainConfig]) -> None:
    told = page("detector.md")
    assert [name for name in settings.model_fields if f"`{name}`" not in told] == []


def test_the_configuration_to_begin_with_learns_on_from_the_default_model() -> None:
    config = load_config(ROOT / "examples" / "learn-on.toml")
    card = default_card()
    assert (config.start_from, config.architecture) == (card.name, card.architecture)
    assert config.architecture_args == card.architecture_args
