"""Training speed for 1 and 2 workers, and whether sampling keeps up: `python benchmarks/training.py`.

Both recipes on drawn images of CrackForest size: the sampler alone, the iteration alone on a batch at hand,
and the whole through Ray Train with the share of time that a worker waited for its batch. Last, the same
iterations in one process fed by a thread (as training does) and by Ray Data. One thread a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import ray
import ray.data
import torch
from gpu_training import drawn_images, fresh, papers_config, sampler_rate, survey_config

from pavemap.training.architectures import sampler_of
from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.device import has_fast_bf16
from pavemap.training.loop import train_step
from pavemap.training.run import train
from pavemap.training.sampling.samples import Batch
from pavemap.training.shares import Share
from pavemap.training.staging import Staged

CPU = torch.device("cpu")
EPOCHS = {
    "fan2018": (360_000, "patches, as the paper draws"),
    "survey-unet": (72, "crops, one an image"),
}
PLAIN, RAY_DATA = "a thread, one batch ahead", "Ray Data"

Batches = Iterator[Batch]


def write_set(images: list[LabelledImage], folder: Path) -> Path:
    """The images as a data set in a folder."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for image in images:
        for part, pixels in (
            ("images", image.pixels),
            ("masks", image.crack.astype(np.uint8) * 255),
        ):
            assert cv2.imwrite(str(folder / part / f"{image.name}.png"), pixels)
    return folder


def through_ray_train(
    config: TrainConfig, data: Path, output: Path, *, workers: int, iterations: int
) -> dict[str, Any]:
    """Samples a second of a run with so many workers, and the share of time they waited for a batch."""
    every = max(1, iterations // 10)
    changes = {
        "output": str(output),
        "data": [{"folder": str(data)}],
        "workers": workers,
        "iterations": iterations,
        "report_every": every,
        "checkpoint_every": iterations,
    }
    told: list[Mapping[str, Any]] = []
    train(parse_config({**config.model_dump(mode="json"), **changes}), on_progress=told.append)
    steady = told[1:-1]  # the first has the start in it, the last its checkpoint
    return {
        "samples_per_s": statistics.median(line["samples_per_s"] for line in steady),
        "waited": statistics.median(line["waited"] for line in steady),
    }


def iteration_rate(config: TrainConfig, images: list[LabelledImage], iterations: int) -> float:
    """Samples a second of iterations on a batch that is there already."""
    state, whole = fresh(config, CPU), Share.of(config.batch_size, rank=0, world=1)
    sampler, size = sampler_of(config, state.network, [images]), config.batch_size
    batch = Staged.of(sampler.batch(0, size=size, first=0, last=size), CPU)
    times = []
    for _ in range(iterations + 2):
        started = time.perf_counter()
        train_step(state.network, state, batch, config, CPU, whole)
        times.append(time.perf_counter() - started)
    return size / statistics.median(times[2:])


def by_thread(config: TrainConfig, images: list[LabelledImage], iterations: int) -> Batches:
    """Batches cut one ahead in a thread."""
    sampler, size = sampler_of(config, fresh(config, CPU).network, [images]), config.batch_size
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(sampler.batch, 0, size=size, first=0, last=size)
        for iteration in range(iterations):
            batch = coming.result()
            coming = pool.submit(sampler.batch, iteration + 1, size=size, first=0, last=size)
            yield batch


class Cutter:
    """The sampler in an actor of Ray Data."""

    def __init__(self, config: TrainConfig, images: list[LabelledImage]) -> None:
        torch.set_num_threads(1)
        self._size = config.batch_size
        self._sampler = sampler_of(config, fresh(config, CPU).network, [images])

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Replace the number of an iteration by its batch."""
        (iteration,) = rows["id"]
        size = self._size
        batch = self._sampler.batch(int(iteration), size=size, first=0, last=size)
        found = {"pixels": batch.pixels[None], "labels": batch.labels[None]}
        return found if batch.weights is None else {**found, "weights": batch.weights[None]}


def by_ray_data(config: TrainConfig, images: list[LabelledImage], iterations: int) -> Batches:
    """The same batches from one actor of Ray Data, two ahead, over the object store."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    numbers = ray.data.range(iterations, override_num_blocks=iterations)
    cut = numbers.map_batches(
        Cutter,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=1),
        fn_constructor_args=(config, images),
    )
    for rows in cut.iter_batches(batch_size=1, prefetch_batches=2):
        weights = rows["weights"][0] if "weights" in rows else None
        yield Batch(rows["pixels"][0], rows["labels"][0], weights)


def fed(
    make: Callable[[TrainConfig, list[LabelledImage], int], Batches],
    config: TrainConfig,
    images: list[LabelledImage],
    iterations: int,
) -> dict[str, float]:
    """Samples a second of iterations here with batches from one source, and of the source alone."""
    state, whole = fresh(config, CPU), Share.of(config.batch_size, rank=0, world=1)
    batches = make(config, images, 2 * iterations + 3)
    next(batches)  # the source has started when the clock does
    started = time.perf_counter()
    for _ in range(iterations):
        next(batches)
    alone = iterations * config.batch_size / (time.perf_counter() - started)
    for _ in range(2):
        train_step(state.network, state, Staged.of(next(batches), CPU), config, CPU, whole)
    waited, started = 0.0, time.perf_counter()
    for _ in range(iterations):
        asked = time.perf_counter()
        batch = Staged.of(next(batches), CPU)
        waited += time.perf_counter() - asked
        train_step(state.network, state, batch, config, CPU, whole)
    seconds = time.perf_counter() - started
    return {
        "samples_per_s": round(iterations * config.batch_size / seconds, 1),
        "waited": round(waited / seconds, 4),
        "delivered_alone_per_s": round(alone, 1),
    }


def measured(
    name: str, config: TrainConfig, iterations: int, place: Path
) -> Iterator[dict[str, Any]]:
    """All rows of one recipe."""
    images = drawn_images(72)
    data = write_set(images, place / f"{name}-set")
    samples, said = EPOCHS[name]
    size = config.batch_size
    rate = sampler_rate(config, images, max(3, iterations // 3)) * size
    yield {"recipe": name, "what": "sampler alone", "samples_per_s": round(rate, 1)}
    rate = iteration_rate(config, images, max(3, iterations // 3))
    yield {"recipe": name, "what": "iteration alone", "samples_per_s": round(rate, 1)}
    for workers in (1, 2):
        output = place / f"{name}-{workers}"
        found = through_ray_train(config, data, output, workers=workers, iterations=iterations)
        epoch = {
            "epoch_s": round(samples / found["samples_per_s"], 1),
            "epoch": f"{samples:,} {said}",
        }
        yield {"recipe": name, "what": f"Ray Train, workers: {workers}", **found, **epoch}
    for source, make in ((PLAIN, by_thread), (RAY_DATA, by_ray_data)):
        yield {"recipe": name, "what": f"fed by {source}", **fed(make, config, images, iterations)}


def main() -> None:
    """Measure and print a JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=200, help="of each figure")
    parser.add_argument("--recipes", nargs="+", choices=sorted(EPOCHS), default=sorted(EPOCHS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    precision = "bf16" if has_fast_bf16("cpu") else "fp32"
    load = [round(value, 1) for value in os.getloadavg()]
    facts = {
        "cpus": os.cpu_count(),
        "load": load,
        "torch": torch.__version__,
        "precision": precision,
    }
    print(json.dumps(facts), flush=True)
    configs = {"fan2018": papers_config(), "survey-unet": survey_config()}
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as place:
        for name in options.recipes:
            config = configs[name].model_copy(update={"precision": precision})
            for row in measured(name, config, options.iterations, Path(place)):
                print(json.dumps(row), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main()
