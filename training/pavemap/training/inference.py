"""A trained model in use: chips of bytes in, crack probabilities as bytes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pavemap.training.architectures import build_network
from pavemap.training.config import Precision
from pavemap.training.device import autocast, channels_last, wants_bf16
from pavemap.training.errors import BadModel
from pavemap.training.models.card import ModelCard, check_reach, checked_weights, read_card
from pavemap.training.networks.dense import DenseForm, DenseSurvey, dense_form, probabilities
from pavemap.training.networks.scaling import scaled
from pavemap.training.networks.survey_on_cpu import SurveyOnCpu

# Pixels of one network pass, all chips of a batch together: some 200 MB of activations on a CPU,
# and on a GPU enough to fill it. What is detected doesn't depend on it.
PASS_PX = {"cpu": 1_200_000, "cuda": 40_000_000}


@dataclass(frozen=True)
class _Tile:
    """A part of the chip: its pixels' place, and the window of the extended chip that it takes."""

    rows: slice
    columns: slice
    window: tuple[slice, slice]
    inside: tuple[slice, slice]  # where the tile's pixels lie in the network's output


class CrackModel:
    """A detector loaded from a model folder; `detect` is what a survey calls."""

    def __init__(
        self,
        card: ModelCard,
        form: DenseForm,
        *,
        device: torch.device,
        precision: Precision,
        tile_px: int | None,
    ) -> None:
        self.card = card
        self._device, self._precision = device, precision
        self._tile_px = tile_px or form.tile_px
        self._form = channels_last(form, device)
        self._on_cpu: SurveyOnCpu | None = None
        if device.type == "cpu" and isinstance(form, DenseSurvey):
            self._on_cpu = SurveyOnCpu(
                form.network,
                channels=card.channels,
                bf16=wants_bf16(device, precision),
                threads=torch.get_num_threads(),
            )

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: str | None = None,
        threads: int | None = None,
        precision: Precision = "auto",
        stride: int = 4,
        tile_px: int | None = None,
    ) -> CrackModel:
        """Load a model folder (weights.safetensors and card.json).

        `device` is 'cpu' or 'cuda' (None: a GPU when there is one); `threads` sets the process's
        CPU threads; `stride` is the paper network's grid of patches (4 is fast, 1 is every pixel);
        `tile_px`, a multiple of 16, bounds the pixels of a pass (None: what suits the network).
        Raises BadModel when the folder is damaged or of another version, when the card says that the
        network sees less than it does, or there is no such device.
        """
        if device is not None and device.startswith("cuda") and not torch.cuda.is_available():
            raise BadModel("no GPU is to be had here; leave the device out or say 'cpu'")
        if tile_px is not None and (tile_px < 16 or tile_px % 16):
            raise BadModel(f"tile_px {tile_px} must be a multiple of 16")
        card = read_card(path)
        network = build_network(card.architecture, card.architecture_args, channels=card.channels)
        try:
            network.load_state_dict(load_file(checked_weights(path, card)))
        except (SafetensorError, RuntimeError) as exc:
            raise BadModel(f"the weights in {path} don't fit their card: {exc}") from exc
        if threads is not None:
            torch.set_num_threads(threads)
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        form = dense_form(network, stride=stride, calibration=card.calibration)
        check_reach(card, form.reach_px)
        return cls(card, form, device=chosen, precision=precision, tile_px=tile_px)

    def detect(self, chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crack probability (H, W), 255 = 1.0, of one RGB chip (H, W, 3)."""
        found: NDArray[np.uint8] = self.predict(chip[None])[0]
        return found

    @torch.inference_mode()
    def predict(self, chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crack probabilities (N, H, W), 255 = 1.0, of RGB chips (N, H, W, 3).

        Raises BadModel when the array is no batch of chips of bytes.
        """
        if chips.ndim != 4 or chips.shape[3] != 3 or chips.dtype != np.uint8:
            raise BadModel(f"chips must be bytes (N, H, W, 3), not {chips.dtype} {chips.shape}")
        found = np.empty(chips.shape[:3], np.uint8)
        if not found.size:
            return found
        if self.card.channels == 1:
            chips = _grey(chips)
        area = min(chips.shape[1], self._tile_px) * min(chips.shape[2], self._tile_px)
        step = max(1, PASS_PX.get(self._device.type, PASS_PX["cpu"]) // area)
        for first in range(0, len(chips), step):
            self._predict_some(chips[first : first + step], found[first : first + step])
        return found

    def _predict_some(self, chips: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
        height, width = chips.shape[1:3]
        extended = self._extended(chips)
        for tile in self._tiles(height, width, extended.shape[1:3]):
            probability = self._probabilities(np.ascontiguousarray(extended[:, *tile.window]))
            part = probability[:, *tile.inside].mul(255.0).round_().to(torch.uint8)
            found[:, tile.rows, tile.columns] = part.cpu().numpy()

    def _probabilities(self, window: NDArray[np.uint8]) -> Tensor:
        """What the form gives (N, h, w) for bytes (N, H, W, C)."""
        if self._on_cpu is not None:
            return probabilities(self._on_cpu.logits(window))
        with autocast(self._device, self._precision):
            found: Tensor = self._form(scaled(torch.from_numpy(window).to(self._device)))
        return found

    def _extended(self, chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        form = self._form
        pads = [
            (form.pad_before, form.pad_after + -size % form.alignment) for size in chips.shape[1:3]
        ]
        return np.pad(chips, ((0, 0), *pads, (0, 0)), mode="symmetric")

    def _tiles(self, height: int, width: int, extended: tuple[int, ...]) -> Iterator[_Tile]:
        step = self._tile_px
        for top in range(0, height, step):
            for left in range(0, width, step):
                rows, in_rows, window_rows = self._along(top, height, extended[0])
                columns, in_columns, window_columns = self._along(left, width, extended[1])
                yield _Tile(rows, columns, (window_rows, window_columns), (in_rows, in_columns))

    def _along(self, first: int, size: int, extended: int) -> tuple[slice, slice, slice]:
        form = self._form
        last = min(first + self._tile_px, size)
        whole = last + -last % form.alignment
        start = max(0, first + form.pad_before - form.reach_before)
        stop = min(extended, whole + form.pad_before + form.reach_after)
        skipped = first + form.pad_before - start - form.lost_before
        return slice(first, last), slice(skipped, skipped + last - first), slice(start, stop)


def _grey(chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (N, H, W, 1) of RGB chips (ITU-R BT.601, as OpenCV reads grey images)."""
    return np.rint(chips @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)[..., None]
