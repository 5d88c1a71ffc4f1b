"""A model as one ONNX file, for programs that know nothing of pavemap (QGIS with the Deepness plugin).

The file maps RGB in [0, 1] (N, C, tile, tile) to crack probability (N, 1, tile, tile). Beyond the tile's
border its pixels are mirrored, as pavemap does at a chip's; so overlap tiles and use their middle, as
Deepness does.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pavemap.geo.scratch import beside
from pavemap.training.architectures import build_network
from pavemap.training.errors import BadModel
from pavemap.training.models.card import ModelCard, checked_weights, read_card
from pavemap.training.networks.dense import DenseForm, dense_form

OPSET = 18
TILE_PX = 512


class _Picture(nn.Module):
    """A dense form between pixels in [0, 1] and a map of the same size."""

    def __init__(self, form: DenseForm, *, tile_px: int) -> None:
        super().__init__()
        self.form = form
        # ONNX's Pad can't repeat the pixel at the border in a mirror image, so rows are picked.
        places = np.pad(np.arange(tile_px), (form.pad_before, form.pad_after), mode="symmetric")
        self.register_buffer("mirrored", torch.from_numpy(places))

    def forward(self, pixels: Tensor) -> Tensor:
        places = cast(Tensor, self.mirrored)
        extended = pixels.index_select(2, places).index_select(3, places)
        found: Tensor = self.form(extended * 2.0 - 1.0)
        first = self.form.pad_before - self.form.lost_before
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
    form = dense_form(network, calibration=card.calibration)
    picture = _Picture(form, tile_px=tile_px).eval()
    target.parent.mkdir(parents=True, exist_ok=True)
    with beside(target) as place:
        file = place / "model.onnx"
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
        "tile_size": tile_px,  # as it is read
        "tiles_size": tile_px,  # as it is documented
        # A tile keeps its middle, up to half of the overlap, and that knows all the network looks at.
        "tiles_overlap": math.ceil(200 * card.reach_px / tile_px),
        "seg_thresh": card.threshold,
        "seg_small_segment": 0,  # a median of so many pixels would take thin cracks away
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
