"""Detection speed: patch by patch against fully convolutional, in one run: `python benchmarks/detect.py`.

All figures are of one process on the same pixels; the ratios of a run mean more than its absolute
figures on a machine that does other things too. A chip is a survey's cell with the halo that the model
needs, and only the cell's own pixels count. A network's share of the matrix rate is its arithmetic for
these, by that of a matrix product in the same run. `--json` prints one object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rates import flop_per_pixel, matrix_rate
from safetensors.torch import load_file

from pavemap.geo.grid import halo_for
from pavemap.training.architectures import build_network
from pavemap.training.device import has_fast_bf16
from pavemap.training.inference import CrackModel
from pavemap.training.models.card import WEIGHTS_FILE, ModelCard, read_card
from pavemap.training.models.shipped_models import (
    default_card,
    find_model_folder,
    shipped_model_folders,
)
from pavemap.training.networks.dense import DenseForm, dense_form
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.networks.reference import detect_by_patches

Detect = Callable[[NDArray[np.uint8]], object]


def measure(
    detect: Detect, chip: NDArray[np.uint8], *, repeats: int, halo_px: int = 0
) -> dict[str, float]:
    """Megapixels a second: the median over repeats by the clock, the best by the processor's time."""
    detect(chip[:64, :64])
    clock, processor = [], []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        detect(chip)
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - worked)
    size = (chip.shape[0] - 2 * halo_px) * (chip.shape[1] - 2 * halo_px) / 1e6
    return {
        "mpx_per_s": round(size / statistics.median(clock), 7),
        "mpx_per_core_s": round(size / min(processor), 7),
    }


def pavement(side_px: int) -> NDArray[np.uint8]:
    """Grey noise: speed doesn't depend on what is seen."""
    rng = np.random.default_rng(0)
    return rng.normal(130, 25, (side_px, side_px, 3)).clip(0, 255).astype(np.uint8)


def forms(fan: FanNet) -> dict[str, DenseForm]:
    """The dense forms by the names of their rows."""
    paper = {
        f"fan2018 dense, stride {stride}": dense_form(fan, stride=stride) for stride in (1, 2, 4)
    }
    ours = {
        card.name: dense_form(build_network(card.architecture, card.architecture_args))
        for card in survey_cards()
    }
    return {**paper, **ours}


def survey_cards() -> list[ModelCard]:
    """The shipped models for surveys, the default last."""
    cards = [read_card(folder) for folder in shipped_model_folders()]
    ours = [card for card in cards if card.architecture == "survey-unet"]
    return sorted(ours, key=lambda card: card.name == default_card().name)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", type=int, default=2048, help="side of the cell in pixels")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    halo_px = halo_for(0)
    chip, small = pavement(options.cell + 2 * halo_px), pavement(128)

    folder = find_model_folder("fan2018")
    card = read_card(folder)
    network = build_network(card.architecture, card.architecture_args)
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    assert isinstance(network, FanNet)
    fan = network

    def load(path: Path, **arguments: Any) -> CrackModel:
        return CrackModel.load(path, device=options.device, threads=options.threads, **arguments)

    rows: dict[str, dict[str, float]] = {
        "fan2018 patch by patch, fp32": measure(
            lambda pixels: detect_by_patches(fan, pixels), small, repeats=2
        ),
    }
    for stride in (1, 2, 4):
        model = load(folder, stride=stride)
        area = chip if stride == 4 else chip[:1024, :1024]
        rows[f"fan2018 dense, stride {stride}"] = measure(
            model.detect, area, repeats=options.repeats, halo_px=halo_px
        )
    for card in survey_cards():
        halo_px = halo_for(card.reach_px)
        rows[card.name] = measure(
            load(find_model_folder(card.name)).detect,
            pavement(options.cell + 2 * halo_px),
            repeats=options.repeats,
            halo_px=halo_px,
        )
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    precision = torch.bfloat16 if has_fast_bf16(device.type) else torch.float32
    rate = matrix_rate(device, precision)
    for name, form in forms(fan).items():
        rows[name]["share_of_matrix_rate"] = round(
            rows[name]["mpx_per_s"] * 1e6 * flop_per_pixel(form) / rate, 3
        )
    slow = rows["fan2018 patch by patch, fp32"]["mpx_per_core_s"]
    for row in rows.values():
        row["times_patch_by_patch"] = round(row["mpx_per_core_s"] / slow, 1)
    facts = {
        "cell_px": options.cell,
        "threads": options.threads,
        "device": device.type,
        "torch": torch.__version__,
        "precision": str(precision).removeprefix("torch."),
        "matrix_gflop_per_s": round(rate / 1e9),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if options.json:
        print(json.dumps({"rows": rows, **facts}))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{'':32}{'Mpx/s':>10}{'Mpx/core-s':>12}{'times':>10}{'of matrix rate':>16}")
    for name, row in rows.items():
        print(
            f"{name:32}{row['mpx_per_s']:10.4g}{row['mpx_per_core_s']:12.4g}"
            f"{row['times_patch_by_patch']:10.0f}"
            f"{row.get('share_of_matrix_rate', float('nan')):16.3f}"
        )


if __name__ == "__main__":
    main()
