"""Trainings kept by what they are made of: one that several studies ask for is done once.

The paper's network with windows of 5 pixels, with a ratio of 3, trained on CFD, and the plain recipe are
one training. At a constant rate fewer iterations are also a part of more: every ten thousandth is kept.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from pavemap.training.checkpoint import Progress
from pavemap.training.config import TrainConfig
from pavemap.training.deciding import deciding
from pavemap.training.experiments.images import Images
from pavemap.training.experiments.patches_on_device import Draw
from pavemap.training.models.card import read_card
from pavemap.training.models.shipped_models import find_model_folder

KEPT_EVERY = 10_000

Losses = list[tuple[int, float]]  # iteration, mean loss since the last one


def start_digest(model: str) -> str:
    """What a start is known by: the same path may name other weights tomorrow."""
    return read_card(find_model_folder(model)).digest


@dataclass(frozen=True)
class Training:
    """A training's folder: `iteration-NNNNNNN` is a checkpoint, and beside each is a log of the losses."""

    folder: Path

    @classmethod
    def of(
        cls, folder: Path, config: TrainConfig, sets: Sequence[Images], draw: Draw | None = None
    ) -> Training:
        """The training of these settings on these images, among those kept in `folder`."""
        settings = deciding(config)
        start = settings.pop("start_from", None)
        made_of: dict[str, Any] = {
            "settings": settings,
            "draw": None if draw is None else asdict(draw),
            "sets": [[image.digest() for image in images] for images in sets],
            "weights": [source.weight for source in config.data],
        }
        if start is not None:
            made_of["start"] = start_digest(start)
        name = sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
        return cls(folder / f"{config.architecture}-{name}")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process is at this training."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def resume(
        self, state: Progress, *, iterations: int, device: torch.device
    ) -> tuple[Losses, float]:
        """Bring `state` to the last checkpoint within `iterations`; the losses and seconds up to it."""
        saved = [path for path in self._saved() if _iteration(path) <= iterations]
        if not saved:
            return [], 0.0
        state.restore(saved[-1], device=device)
        log = json.loads(_log(saved[-1]).read_text())
        return [(int(at), float(loss)) for at, loss in log["losses"]], float(log["seconds"])

    def save(self, state: Progress, losses: Losses, seconds: float) -> None:
        """Keep the state of now, and of the former ones those of every ten thousandth iteration."""
        folder = self.checkpoint(state.iteration)
        if folder.exists():
            return
        former = [path for path in self._saved() if _iteration(path) < state.iteration]
        _log(folder).write_text(json.dumps({"losses": losses, "seconds": seconds}))
        state.save(folder)
        for path in former:
            if _iteration(path) % KEPT_EVERY:
                shutil.rmtree(path)
                _log(path).unlink(missing_ok=True)

    def checkpoint(self, iteration: int) -> Path:
        """The folder of the state after an iteration."""
        return self.folder / f"iteration-{iteration:07d}"

    def _saved(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("iteration-*") if path.is_dir())


def _iteration(path: Path) -> int:
    return int(path.name.removeprefix("iteration-"))


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-losses.json")
