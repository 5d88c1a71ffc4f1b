"""What a training run is told: one validated model, read from JSON or TOML."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pavemap.training.augmentation import Augmentation
from pavemap.training.data_source import DataSource, check_told_apart
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.leaves import leaves
from pavemap.training.strict_model import StrictModel

Architecture = Literal["fan2018", "survey-unet"]
Precision = Literal["auto", "bf16", "fp32"]
Loss = Literal["overlap", "tolerant"]
Schedule = Literal["constant", "cosine"]

INTENDED_USE = (
    "Finding cracks in vertical colour imagery of paved roads, at the pixel sizes of gsd_range_m, for "
    "surveys of a network's condition whose results people look over. Not for safety decisions, nor for "
    "judging a single image that nobody looks at."
)

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
"""Characters that neither a database nor a file takes: code 0 and halves of surrogate pairs."""


class TrainConfig(StrictModel):
    """A whole training run. Defaults are those of Fan et al. 2018 for CFD (section II.C)."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$",
        description="name of the model; its id is this and 8 digits of its weights' SHA-256",
    )
    version: str = Field(default="1", description="version of the model, for its card")
    output: Path = Field(description="folder of checkpoints, progress and the finished model")
    architecture: Architecture = Field(
        default="fan2018",
        description="'fan2018' is the paper's network, 'survey-unet' that of the default model",
    )
    architecture_args: dict[str, int | bool] = Field(
        default_factory=dict,
        description="channels (1 or 3) and context (true or false) of any network; size of 'fan2018' "
        "(odd, 1 to 9 pixels); width of 'survey-unet' (1 to 256)",
    )
    data: tuple[DataSource, ...] = Field(min_length=1, description="sets that the model is taught")
    validation: tuple[DataSource, ...] = Field(
        default=(),
        description="sets that threshold and calibration are chosen by; some must show a crack",
    )
    tests: tuple[DataSource, ...] = Field(
        default=(), description="scored when all is chosen, beside the version in use"
    )

    start_from: str | None = Field(
        default=None,
        description="model to learn on from: a shipped one's name, a model version, or a folder",
    )
    start_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the weights it started from in the finished ones, so that it forgets less",
    )
    loss: Loss = Field(
        default="overlap",
        description="of maps: 'tolerant' counts as the metric does, 2 pixels aside are right",
    )
    iterations: int = Field(
        default=30_000, ge=1, le=1_000_000_000, description="steps in all, of a batch each"
    )
    batch_size: int = Field(
        default=256,
        ge=1,
        description="patches or crops a step, over all workers: a multiple of their number",
    )
    learning_rate: float = Field(default=1e-3, gt=0, lt=1, description="step size of Adam")
    schedule: Schedule = Field(
        default="constant",
        description="'cosine' warms the rate up over 2 % of the iterations and lets it fall to 1 % of it",
    )
    weight_decay: float = Field(
        default=5e-4,
        ge=0,
        lt=1,
        description="L2 penalty on weights, not on biases and normalisation; 0 is none",
    )
    negatives_per_positive: float = Field(
        default=3.0,
        ge=0,
        description="sound patches for each with a crack, of patches only; 0 is cracks alone",
    )
    crop_px: int = Field(
        default=256, ge=32, multiple_of=32, description="side of a crop, in pixels"
    )
    average_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay, a step, of the average of weights that is used; 0 keeps the last weights",
    )
    dropout: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="share of the paper's network's 64 + 64 units that a step leaves out",
    )
    augmentation: Augmentation = Field(
        default=Augmentation(), description="random changes of samples; patches take flips only"
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="of all that is random: fresh weights, batches, dropout",
    )

    gsd_m: float = Field(
        default=0.002, gt=0, lt=1, description="ground metres a pixel that imagery is read at"
    )
    gsd_range_m: tuple[float, float] = Field(
        default=(0.001, 0.004),
        description="finest and coarsest imagery that the model is meant for, in metres a pixel; gsd_m "
        "lies within",
    )
    threshold: float = Field(default=0.5, gt=0, lt=1, description="used when nothing validates it")
    vectorize: dict[str, float | int | bool | None] | None = Field(
        default=None,
        description="parameters of the vectoriser for the model's card; else those of start_from's",
    )
    licence: str = Field(default="not stated", description="licence of the model, for its card")
    intended_use: str = Field(
        default=INTENDED_USE, description="what the model is for, and what not, for its card"
    )
    notes: str = Field(default="", description="the limits that the card states")

    workers: int = Field(default=1, ge=1, le=1024, description="processes that share each batch")
    workers_min: int | None = Field(
        default=None,
        ge=1,
        description="elastic: go on with as few when workers are lost, with up to `workers` when they come",
    )
    resize_every_s: float = Field(
        default=60.0, gt=0, description="how often an elastic run looks for more workers"
    )
    threads: int = Field(default=1, ge=1, le=256, description="CPU threads of a worker")
    use_gpu: bool = Field(default=False, description="a GPU for each worker")
    precision: Precision = Field(
        default="auto", description="of the network's arithmetic; 'auto' is bf16 where that is fast"
    )
    report_every: int = Field(default=100, ge=1, description="iterations from report to report")
    checkpoint_every: int = Field(
        default=1000, ge=1, description="iterations from checkpoint to checkpoint"
    )
    max_failures: int = Field(
        default=3,
        ge=0,
        description="how often lost workers are replaced, from the last checkpoint; 0 is never",
    )
    mlflow_uri: str | None = Field(
        default=None,
        description="MLflow server to tell of the run; None is MLFLOW_TRACKING_URI, if that is set",
    )
    mlflow_experiment: str = Field(
        default="pavemap", min_length=1, description="MLflow experiment of the run, made if missing"
    )
    ray_address: str | None = Field(
        default=None, description="a running cluster; None starts one here"
    )

    @property
    def learns_patches(self) -> bool:
        """Whether it is taught on patches, as the paper's network by its own loss; else on crops."""
        return self.architecture == "fan2018" and self.loss != "tolerant"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        texts = (leaf for leaf in leaves(self.model_dump()) if isinstance(leaf, str | Path))
        if any(_UNSTORABLE.search(str(text)) for text in texts):
            raise ValueError("a text holds a character of code 0 or half a character; take it out")
        check_told_apart("validation", self.validation)
        check_told_apart("tests", self.tests)
        if self.batch_size % self.workers:
            raise ValueError(
                f"batch_size {self.batch_size} can't be shared equally by {self.workers} workers; "
                "choose a multiple"
            )
        if self.workers_min is not None and self.workers_min > self.workers:
            raise ValueError(
                f"workers_min {self.workers_min} is more than workers {self.workers}; "
                "workers is the most that an elastic run takes"
            )
        given = {"context": True, "size": 5, **self.architecture_args}
        maps = self.architecture != "fan2018" or (given["context"] and int(given["size"]) >= 5)
        if self.loss == "tolerant" and not maps:
            raise ValueError(
                "the tolerant loss is of maps; the paper's network makes them with context = true and a "
                "size of 5 or more"
            )
        if self.learns_patches:
            unused = self.augmentation.model_dump(exclude_defaults=True, exclude={"flips"})
            if unused:
                raise ValueError(
                    f"patches are changed by flips alone, not by {', '.join(sorted(unused))}; those are "
                    "for crops, by loss = 'tolerant' or another architecture"
                )
        default = type(self).model_fields["dropout"].default
        if self.architecture != "fan2018" and self.dropout != default:
            raise ValueError(
                f"{self.architecture} leaves no units out; dropout is of the paper's network"
            )
        if self.start_share and self.start_from is None:
            raise ValueError(
                "start_share is of the weights that start_from names; name a model there"
            )
        finest, coarsest = self.gsd_range_m
        if not 0 < finest <= self.gsd_m <= coarsest:
            raise ValueError("gsd_m must lie inside gsd_range_m, and both be above 0")
        return self


def parse_config(values: dict[str, Any]) -> TrainConfig:
    """A config from plain values. Raises BadTrainingConfig naming every field that is wrong."""
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as exc:
        lines = [
            f"{'.'.join(str(part) for part in error['loc']) or 'config'}: {error['msg']}"
            for error in exc.errors()
        ]
        raise BadTrainingConfig(
            "the training configuration is not valid: " + "; ".join(lines)
        ) from exc


def read_config(text: str, *, toml: bool = False, name: str = "the configuration") -> TrainConfig:
    """A config from JSON (or TOML) text. Raises BadTrainingConfig when it says something invalid."""
    try:
        values = tomllib.loads(text) if toml else json.loads(text)
    except ValueError as exc:
        raise BadTrainingConfig(f"{name} is not valid {'TOML' if toml else 'JSON'}: {exc}") from exc
    if not isinstance(values, dict):
        raise BadTrainingConfig(f"{name} must hold one object of settings")
    return parse_config(values)


def load_config(path: Path) -> TrainConfig:
    """A config from a .json or .toml file; relative folders are relative to that file.

    Raises BadTrainingConfig when the file is missing, unreadable or says something invalid.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise BadTrainingConfig(
            f"can't read the training configuration {path}: {(exc.strerror or str(exc)).lower()}"
        ) from exc
    except UnicodeDecodeError as exc:
        raise BadTrainingConfig(f"{path} is no text in UTF-8 ({exc}); save it as such") from exc
    config = read_config(text, toml=path.suffix.lower() == ".toml", name=str(path))
    home = path.resolve().parent
    return config.model_copy(
        update={
            "output": (home / config.output).resolve(),
            "data": tuple(_at(home, source) for source in config.data),
            "validation": tuple(_at(home, source) for source in config.validation),
            "tests": tuple(_at(home, source) for source in config.tests),
            "start_from": _start_at(home, config.start_from),
        }
    )


def _start_at(home: Path, name: str | None) -> str | None:
    """A folder in full, a model's name as it is."""
    there = name is not None and (home / name).is_dir()
    return str((home / str(name)).resolve()) if there else name


def _at(home: Path, source: DataSource) -> DataSource:
    return source.model_copy(update={"folder": (home / source.folder).resolve()})
