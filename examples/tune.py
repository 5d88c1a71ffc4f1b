"""Searches for better settings with Ray Tune, on a small budget: `python examples/tune.py CONFIG`.

Each trial trains the configuration's network, from the model of `start_from` where that is given, with its
own learning rate, weight decay, change of light and running average. Now and then it is scored on the
configuration's validation images (never on a test list), and the worse half of those that got as far is
stopped (ASHA). The best settings are written to `OUTPUT/best.json`, which `pavemap train` takes: a short
search ranks settings, the long training follows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator
from torch import nn

from pavemap.geo.errors import PavemapError
from pavemap.training.architectures import build_network, build_sampler
from pavemap.training.config import TrainConfig, load_config, parse_config
from pavemap.training.data.datasets import LabelledImage, read_source
from pavemap.training.device import channels_last
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments.detectors import counted, detector_of
from pavemap.training.loop import train_step
from pavemap.training.metrics import figures
from pavemap.training.optimizing import fresh_progress
from pavemap.training.shares import Share
from pavemap.training.staging import Staged
from pavemap.training.start import former_weights, starting_network, with_former

SPACE = {
    "learning_rate": tune.loguniform(3e-4, 1e-2),
    "weight_decay": tune.loguniform(1e-4, 1e-1),
    "light": tune.uniform(0.0, 0.8),
    "average_decay": tune.choice([0.9, 0.98, 0.995]),
}


def space_of(config: TrainConfig) -> dict[str, Any]:
    """What is searched: of patches their light can't be changed."""
    return {
        name: values
        for name, values in SPACE.items()
        if not (config.learns_patches and name == "light")
    }


def with_values(config: TrainConfig, values: dict[str, Any]) -> TrainConfig:
    """The configuration with the values of a trial. Raises BadTrainingConfig where they don't suit it."""
    given = {name: value for name, value in values.items() if name != "light"}
    if "light" in values:
        light = {"light": values["light"]}
        given["augmentation"] = config.augmentation.model_copy(update=light)
    return parse_config(config.model_copy(update=given).model_dump(mode="json"))


def trial(values: dict[str, Any], *, settings: dict[str, Any], score_every: int) -> None:
    """Train one set of values, and report its F1 on the validation images as it goes."""
    config = with_values(TrainConfig.model_validate(settings), values)
    images = [image for source in config.validation for image in read_source(source)]
    for iteration, network in learning(config, score_every):
        tune.report({"iteration": iteration, "f1": best_f1(network, config, images)})


def learning(config: TrainConfig, score_every: int) -> Iterator[tuple[int, nn.Module]]:
    """Train, and yield the network as it would be finished every so many iterations.

    That is with its averaged weights, and with the share of those that it started from.
    """
    torch.set_num_threads(config.threads)
    device = torch.device("cuda" if config.use_gpu else "cpu")
    network = channels_last(starting_network(config), device).train()
    former = former_weights(config)
    state = fresh_progress(network, config)
    sampler = build_sampler(config, network)
    whole, size = Share.of(config.batch_size, rank=0, world=1), config.batch_size
    while state.iteration < config.iterations:
        batch = sampler.batch(state.iteration, size=size, first=0, last=size)
        train_step(network, state, Staged.of(batch, device), config, device, whole)
        if state.iteration % score_every == 0 or state.iteration == config.iterations:
            finished = build_network(config.architecture, config.architecture_args)
            learnt = network.state_dict() if state.average is None else state.average
            finished.load_state_dict(with_former(learnt, former, config.start_share))
            yield state.iteration, finished.eval()


def best_f1(network: nn.Module, config: TrainConfig, images: list[LabelledImage]) -> float:
    """The mean F1 over images at the threshold that suits them best."""
    detect = detector_of(network, config, device="cuda" if config.use_gpu else "cpu", stride=4)
    found = figures(counted(detect, images)).ods
    return 0.0 if found is None else found.f1


def search(config: TrainConfig, *, trials: int, iterations: int, score_every: int) -> Any:
    """Run the trials on the Ray that is there; their results."""
    short = config.model_copy(update={"iterations": iterations})
    learn = partial(trial, settings=short.model_dump(mode="json"), score_every=score_every)
    resources: dict[str, float] = {"cpu": config.threads, "gpu": int(config.use_gpu)}
    # The rungs are at score_every, 2 score_every, 4 score_every ... iterations.
    scheduler = ASHAScheduler(
        time_attr="iteration", grace_period=score_every, max_t=iterations, reduction_factor=2
    )
    tuner = tune.Tuner(
        tune.with_resources(learn, resources),
        param_space=space_of(config),
        tune_config=tune.TuneConfig(
            metric="f1",
            mode="max",
            num_samples=trials,
            scheduler=scheduler,
            search_alg=BasicVariantGenerator(random_state=config.seed),
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(config.output.resolve()), verbose=0
        ),
    )
    return tuner.fit()


def main(arguments: list[str] | None = None) -> int:
    """The command line; prints a line a trial, the best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="settings and data of a training, .toml or .json")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=400, help="of a trial that isn't stopped")
    parser.add_argument("--score-every", type=int, default=100)
    parser.add_argument("--cpus", type=int, help="that the trials share; none is all of them")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        if not config.validation:
            raise BadTrainingConfig(f"{options.config} names no [[validation]] set to judge by")
        former_weights(config)  # that they are there is better known now than in each trial
    except PavemapError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    config.output.mkdir(parents=True, exist_ok=True)
    ray.init(address="local", num_cpus=options.cpus, include_dashboard=False, log_to_driver=False)
    results = search(
        config,
        trials=options.trials,
        iterations=options.iterations,
        score_every=options.score_every,
    )
    ray.shutdown()
    ranked = sorted(
        (result for result in results if not result.error),
        key=lambda result: -float(result.metrics["f1"]),
    )
    for result in ranked:
        values = ", ".join(f"{name} {value:.4g}" for name, value in result.config.items())
        print(f"F1 {result.metrics['f1']:.4f} after {result.metrics['iteration']:5}: {values}")
    if len(ranked) < len(results):
        sys.stderr.write(f"{len(results) - len(ranked)} trials failed; see {config.output}/tune\n")
    if not ranked:
        return 1
    best = with_values(config, ranked[0].config).model_dump(mode="json")
    (config.output / "best.json").write_text(json.dumps(best, indent=2) + "\n")
    print(f"pavemap train {config.output / 'best.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
