"""The pages that list what there is leave nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.platform.cli.main import app
from pavemap.platform.exports.export_layers import LAYERS
from pavemap.platform.settings import Settings
from pavemap.training.augmentation import Augmentation
from pavemap.training.config import TrainConfig, load_config
from pavemap.training.data_source import DataSource
from pavemap.training.models.shipped_models import default_card

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "docs").glob("*.md")]


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


def options(group: TyperGroup, path: str = "pavemap") -> Iterator[tuple[str, list[str]]]:
    """Of each command below a group: every option with all its names."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from options(command, f"{path} {name}")
            continue
        for option in command.params:
            if isinstance(option, TyperOption) and not option.hidden:
                yield f"{path} {name}", [*option.opts, *option.secondary_opts]


def test_every_option_of_the_command_line_is_told() -> None:
    pages = " ".join(path.read_text() for path in PAGES)
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", pages))
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = list(options(group))
    assert len(found) > 100
    assert [(command, names) for command, names in found if not told & set(names)] == []


def test_what_vectorize_does_by_default_and_the_default_model_does_otherwise_is_told() -> None:
    rows = re.findall(r"^\| `(--[a-z-]+)` \| ([^|]*) \| ([^|]*) \|", page("vectorizing.md"), re.M)
    card, plain = default_card(), VectorizeParams()
    fields = {
        "--threshold": "threshold",
        "--low-threshold": "low_threshold",
        "--gap": "gap_px",
        "--gap-angle": "gap_angle_deg",
        "--min-length": "min_length_m",
        "--sure-threshold": "sure_threshold",
    }
    ours = {"threshold": card.threshold} | card.vectorize
    assert rows == [
        (option, as_told(getattr(plain, field)), as_told(ours.get(field)))
        for option, field in fields.items()
    ]


def as_told(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def test_what_a_probability_of_the_default_model_means_is_told() -> None:
    curve = default_card().metrics["reliability"]
    pairs = [
        f"{said:.2f} means {100 * seen:.0f} %"
        for said, seen in zip(curve["said"], curve["seen"], strict=True)
        if 0.4 < said < 0.8
    ]
    told = " ".join(page("vectorizing.md").split())
    assert len(pairs) == 4
    assert [pair for pair in pairs if pair not in told] == []


@pytest.mark.parametrize("settings", [TrainConfig, DataSource, Augmentation])
def test_every_setting_of_a_training_is_told(settings: type[TrainConfig]) -> None:
    told = page("detector.md")
    assert [name for name in settings.model_fields if f"`{name}`" not in told] == []


def test_the_configuration_to_begin_with_learns_on_from_the_default_model() -> None:
    config = load_config(ROOT / "examples" / "learn-on.toml")
    card = default_card()
    assert (config.start_from, config.architecture) == (card.name, card.architecture)
    assert config.architecture_args == card.architecture_args
