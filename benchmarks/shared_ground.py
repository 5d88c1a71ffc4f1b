"""Which test images show ground that was taught: `python benchmarks/shared_ground.py [--data FOLDER]`.

Every held-out image is compared with every image that the default's configuration teaches or chooses by
(training and validation); the default is scored on those that share ground and on those that don't.
Nothing is chosen by what it says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from accuracy import HELD_OUT

from pavemap.training.config import TrainConfig, load_config
from pavemap.training.data.datasets import list_pairs, read_pair
from pavemap.training.data.shared_ground import Sight, same_ground, sight_of
from pavemap.training.data_source import DataSource
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import Counts, mean_score
from pavemap.training.models.shipped_models import find_model_folder
from pavemap.training.scoring.evaluate import evaluate

COLUMNS = ("data", "images", "share ground", "F1 of those", "others", "F1 of those", "F1 of all")


def sights(source: DataSource, limit: int | None = None) -> dict[str, Sight]:
    """What is told of each image of a source, by name."""
    pairs = list_pairs(source)[:limit]
    return {pair.name: sight_of(read_pair(pair, source).pixels) for pair in pairs}


def taught(config: TrainConfig, limit: int | None = None) -> list[Sight]:
    """What is told of each image that a configuration trains with or chooses by."""
    sources = (*config.data, *config.validation)
    return [sight for source in sources for sight in sights(source, limit).values()]


def f1(images: list[Counts]) -> str:
    """The paper's F1, the mean over images."""
    return f"{mean_score(images).f1:.4f}" if images else "–"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="survey-context", help="a shipped name or a folder")
    parser.add_argument("--config", type=Path, help="what it was taught by; of the shipped name")
    parser.add_argument("--limit", type=int, help="only the first images of each set")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    config = options.config or Path(f"training/configs/{options.model}.toml")
    known = taught(load_config(config), options.limit)
    model = CrackModel.load(find_model_folder(options.model), threads=options.threads)
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for data, names in HELD_OUT:
        source = DataSource(folder=options.data / data, list=names)
        if not source.folder.is_dir():
            continue
        shared = {
            name
            for name, sight in sights(source, options.limit).items()
            if any(same_ground(sight, other) for other in known)
        }
        scores = evaluate(model, source, limit=options.limit).images
        those = [one.counts for one in scores if one.name in shared]
        others = [one.counts for one in scores if one.name not in shared]
        parts = [f"{len(some)} | {f1(some)}" for some in (those, others)]
        cells = [f"{data}/{names}" if names else data, len(scores), *parts]
        print("| " + " | ".join(map(str, cells)) + f" | {f1(those + others)} |", flush=True)


if __name__ == "__main__":
    main()
