"""The shipped models on every held-out set at hand: `python benchmarks/accuracy.py [--data FOLDER]`.

Prints a Markdown table: the paper's figures (mean over images), and pooled F1 at 2 and 5 pixels.
Run it on finished models only; nothing is chosen by what it says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from pavemap.training.config import DataSource
from pavemap.training.evaluate import Evaluation, evaluate
from pavemap.training.inference import CrackModel
from pavemap.training.registry import find_model, shipped

HELD_OUT = (
    ("cfd", "test"),
    ("uav_cc0", "test"),
    ("deepcrack_256/test", None),
    ("crack500_256/test", None),
    ("nha12d_vertical/asphalt", None),
    ("nha12d_vertical/concrete", None),
)


def row(name: str, two: Evaluation, five: Evaluation) -> str:
    """One line of the table."""
    mean = two.mean
    return (
        f"| {name} | {two.data} | {len(two.images)} | {two.threshold:g} "
        f"| {mean.precision:.4f} | {mean.recall:.4f} | **{mean.f1:.4f}** "
        f"| {two.pooled.f1:.4f} | {five.mean.f1:.4f} | {five.pooled.f1:.4f} |"
    )


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", action="append", help="a shipped name or a folder; all shipped")
    parser.add_argument(
        "--stride", type=int, default=4, help="grid of the paper's network: 1, 2, 4"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models = [find_model(name) for name in options.model or []] or shipped()
    if not options.json:
        print("| model | data | images | threshold | Pr | Re | F1 | pooled | F1 at 5 px | pooled |")
        print("|---|---|---|---|---|---|---|---|---|---|")
    for folder in models:
        model = CrackModel.load(folder, threads=options.threads, stride=options.stride)
        for data, names in HELD_OUT:
            source = DataSource(folder=options.data / data, list=names)
            if not source.folder.is_dir():
                continue
            two = evaluate(model, source)
            five = evaluate(model, source, tolerance_px=5)
            two = dataclasses.replace(two, data=f"{data}{'/' + names if names else ''}")
            if options.json:
                print(json.dumps({**two.to_dict(), "at_5_px": five.to_dict()}), flush=True)
            else:
                print(row(model.card.model_id, two, five), flush=True)


if __name__ == "__main__":
    main()
