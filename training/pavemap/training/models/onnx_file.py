"""A model as one ONNX file, for programs that know nothing of pavemap (QGIS with the Deepness plugin).

The file maps RGB in [0, 1] (N, C, tile, tile) to crack probability (N, 1, tile, tile). Beyond the tile's
border the outermost pixels are repeated, so overlap tiles and use their middle, as Deepness does.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from pavemap.training.architectures import build_network
from pavemap.training.errors import BadModel
from pavemap.training.models.card import ModelCard, checked_weights, read_card
from pavemap.training.networks.dense import DenseForm, dense_form

OPSET = 18
TILE_PX = 512
SMALL_SEGMENT_PX = 7


class _Picture(nn.Module):
    """A dense form between pixels in [0, 1] and a map of the same size."""

    def __init__(self, form: DenseForm) -> None:
        super().__init__()
        self.form = form

    def forward(self, pixels: Tensor) -> Tensor:
        before, after = self.form.pad_before, self.form.pad_after
        padded = functional.pad(pixels, (before, after, before, after), mode="replicate")
        found: Tensor = self.form(padded * 2.0 - 1.0)
        first = before - self.form.lost_before
        height, width = pixels.shape[2:]
        return found[:, first : first + height, first : first + width].unsqueeze(1)


def export_onnx(folder: Path, target: Path, *, tile_px: int = TILE_PX) -> ModelCard:
    """Write the model of a folder as an ONNX file with the metadata that Deepness reads; its card.

    `tile_px` is the side of its input, a multiple of 32. The card itself is in the metadata as
    `pavemap_card`. Raises BadModel when the folder is damaged, the tile is no such multiple or too
    small for what the network looks at, or the `onnx` extra is not installed.
    """
    if tile_px < 128 or tile_px % 32:
        raise BadModel(f"a tile of {tile_px} px won't do: give a multiple of 32, 128 or more")
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter is written in it
    except ImportError as exc:
        raise BadModel("ONNX is not installed here; pip install 'pavemap[onnx]'") from exc
    card = read_card(folder)
    if tile_px <= 2 * card.reach_px:
        raise BadModel(
            f"no pixel of a tile of {tile_px} px would know all that {card.model_id} looks at; "
            f"give {4 * card.reach_px}"
        )
    network = build_network(card.architecture, card.architecture_args, channels=card.channels)
    network.load_state_dict(load_file(checked_weights(folder, card)))
    picture = _Picture(dense_form(network, calibration=card.calibration)).eval()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        file = Path(place) / "model.onnx"
        _export(picture, file, torch.zeros(1, card.channels, tile_px, tile_px))
        graph = onnx.load(file)
        for node in graph.graph.node:  # the exporter notes where in whose source each came from
            del node.metadata_props[:]
        for key, value in metadata(card, tile_px=tile_px).items():
            entry = graph.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.checker.check_model(graph)
        onnx.save(graph, file)
        file.replace(target)
    return card


def metadata(card: ModelCard, *, tile_px: int = TILE_PX) -> dict[str, str]:
    """What the Deepness plugin reads from a segmentation model, as JSON texts, and the card."""
    values: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": {"0": "sound", "1": "crack"},
        "resolution": card.gsd_m * 100.0,
        "tiles_size": tile_px,
        # A tile keeps its middle, up to half of the overlap, and that knows all the network looks at.
        "tiles_overlap": math.ceil(200 * card.reach_px / tile_px),
        "seg_thresh": card.threshold,
        "seg_small_segment": SMALL_SEGMENT_PX,
        "pavemap_card": card.model_dump(mode="json", exclude={"training"}),
    }
    return {key: json.dumps(value) for key, value in values.items()}


def _export(picture: nn.Module, file: Path, example: Tensor) -> None:
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own making
            torch.onnx.export(
                picture,
                (example,),
                file,
                input_names=["pixels"],
                output_names=["crack"],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
