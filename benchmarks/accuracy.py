"""The shipped models on every held-out set at hand: `python benchmarks/accuracy.py [--data FOLDER]`.

Prints a Markdown table: the paper's figures (mean over images, 2 pixels), pooled, at 0 and 5 pixels, and
with the best threshold for the set (ODS) and for each image (OIS). Run it on finished models only;
nothing is chosen by what it says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from chosen_models import add_models, model_folders

from pavemap.training.data_source import DataSource
from pavemap.training.inference import CrackModel
from pavemap.training.scoring.evaluate import Evaluation, evaluate

HELD_OUT = (
    ("cfd", "test"),
    ("uav_cc0", "test"),
    ("deepcrack_256/test", None),
    ("crack500_256/test", None),
    ("nha12d_vertical/asphalt", None),
    ("nha12d_vertical/concrete", None),
)
COLUMNS = (
    "model", "data", "images", "threshold", "Pr", "Re", "F1", "pooled",
    "F1 at 0 px", "pooled", "F1 at 5 px", "pooled", "ODS", "OIS",
)  # fmt: skip


def row(name: str, found: Evaluation) -> str:
    """One line of the table."""
    beside, mean = found.figures, found.figures.mean
    best = (beside.ods.f1 if beside.ods else 0.0, beside.ois or 0.0)
    scores = [
        f"{mean[2].precision:.4f}",
        f"{mean[2].recall:.4f}",
        f"**{mean[2].f1:.4f}**",
        f"{beside.pooled[2].f1:.4f}",
        *(f"{score[px].f1:.4f}" for px in (0, 5) for score in (mean, beside.pooled)),
        *(f"{value:.4f}" for value in best),
    ]
    cells = [name, found.data, str(len(found.images)), f"{found.threshold:g}", *scores]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    add_models(parser)
    parser.add_argument(
        "--stride", type=int, default=4, help="grid of the paper's network: 1, 2, 4"
    )
    parser.add_argument("--limit", type=int, help="only the first images of each set")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print("| " + " | ".join(COLUMNS) + " |")
        print("|" + "---|" * len(COLUMNS))
    for folder in model_folders(options):
        model = CrackModel.load(folder, threads=options.threads, stride=options.stride)
        for data, names in HELD_OUT:
            source = DataSource(folder=options.data / data, list=names)
            if not source.folder.is_dir():
                continue
            found = evaluate(model, source, limit=options.limit)
            found = dataclasses.replace(found, data=f"{data}{'/' + names if names else ''}")
            if options.json:
                print(json.dumps(found.to_dict()), flush=True)
            else:
                print(row(model.card.model_id, found), flush=True)


if __name__ == "__main__":
    main()
