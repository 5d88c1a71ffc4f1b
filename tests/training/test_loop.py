"""Single steps of training without Ray: the paper's optimizer and loss, whole or absent checkpoints."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pavemap.training.architectures import build_network, build_sampler
from pavemap.training.checkpoint import (
    OPTIMIZER,
    WEIGHTS,
    Progress,
    final_weights,
    saved_iteration,
    update_average,
)
from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.data.datasets import fingerprint
from pavemap.training.deciding import identity_of
from pavemap.training.errors import TrainingFailed
from pavemap.training.loop import refuse_fewer_iterations, train_step
from pavemap.training.optimizing import learning_rate, make_optimizer
from pavemap.training.progress_file import PROGRESS_FILE, append_line, seconds_trained
from pavemap.training.shares import Share
from pavemap.training.staging import Staged
from training.drawing import write_set

CPU = torch.device("cpu")
WHOLE = Share.of(64, rank=0, world=1)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return parse_config(
        {
            "name": "paper",
            "output": tmp_path / "out",
            "data": [{"folder": write_set(tmp_path / "set")}],
            "batch_size": 64,
            "precision": "fp32",
        }
    )


def fresh(config: TrainConfig) -> Progress:
    torch.manual_seed(config.seed)
    network = build_network(config.architecture, config.architecture_args)
    return Progress(network, make_optimizer(network, config), None)


def steps(state: Progress, config: TrainConfig, count: int) -> list[float]:
    sampler = build_sampler(config, state.network)
    losses = []
    for _ in range(count):
        batch = Staged.of(sampler.batch(state.iteration, size=64, first=0, last=64), CPU)
        losses.append(float(train_step(state.network, state, batch, config, CPU, WHOLE)))
    return losses


def test_the_papers_network_learns(config: TrainConfig) -> None:
    losses = steps(fresh(config), config, 25)
    assert losses[0] == pytest.approx(25 * math.log(2), rel=0.2)  # chance
    assert losses[-1] < 0.8 * losses[0]


def test_the_penalty_is_on_weights_in_the_gradient_not_on_biases(config: TrainConfig) -> None:
    optimizer = fresh(config).optimizer
    assert type(optimizer) is torch.optim.Adam  # AdamW's decay is not the paper's penalty
    assert [group["weight_decay"] for group in optimizer.param_groups] == [5e-4, 0.0]
    weights, biases = (group["params"] for group in optimizer.param_groups)
    assert len(weights) == len(biases) == 7


def test_a_restored_run_goes_on_bit_by_bit(config: TrainConfig, tmp_path: Path) -> None:
    whole = fresh(config)
    steps(whole, config, 4)
    first = fresh(config)
    steps(first, config, 2)
    first.save(tmp_path / "saved")
    assert saved_iteration(tmp_path / "saved") == 2
    second = fresh(config)
    second.restore(tmp_path / "saved", device=CPU)
    steps(second, config, 2)
    for one, other in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_network_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    fresh(config).save(tmp_path / "saved")
    other = fresh(config.model_copy(update={"architecture_args": {"size": 3}}))
    with pytest.raises(TrainingFailed, match="doesn't fit this configuration"):
        other.restore(tmp_path / "saved", device=CPU)


def test_a_checkpoint_that_other_images_taught_is_refused(
    config: TrainConfig, tmp_path: Path
) -> None:
    def of_now() -> Progress:
        return replace(fresh(config), data=fingerprint(config.data))

    of_now().save(tmp_path / "saved")
    of_now().restore(tmp_path / "saved", device=CPU)
    fresh(config).save(tmp_path / "older")  # a checkpoint that says nothing of its images
    shutil.rmtree(tmp_path / "set")
    write_set(tmp_path / "set", count=5)
    of_now().restore(tmp_path / "older", device=CPU)
    with pytest.raises(TrainingFailed, match=r"training sets have changed.*another name"):
        of_now().restore(tmp_path / "saved", device=CPU)


def test_a_run_that_has_learnt_for_longer_is_not_taken_for_a_shorter_one(
    config: TrainConfig,
) -> None:
    refuse_fewer_iterations(config, learnt=config.iterations)
    with pytest.raises(TrainingFailed, match="another name, or more iterations"):
        refuse_fewer_iterations(config, learnt=config.iterations + 1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 0.05, "seed": 7}, "learning_rate, seed"),
        ({"schedule": "cosine"}, "iterations, schedule"),
        ({"augmentation": {"flips": True}}, "augmentation"),
        ({"data": [{"folder": "set", "weight": 2.0}]}, "weights of data"),
    ],
)
def test_a_checkpoint_that_other_settings_made_is_refused(
    config: TrainConfig, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    told = config.model_copy(update={"iterations": 50}).model_dump()
    changed = parse_config({**told, **changes})
    replace(fresh(config), settings=identity_of(config, None)).save(tmp_path / "saved")
    fresh(config).save(tmp_path / "older")  # a checkpoint that says nothing of its settings
    now = replace(fresh(changed), settings=identity_of(changed, None))
    now.restore(tmp_path / "older", device=CPU)
    with pytest.raises(TrainingFailed, match=f"made with another {named}; give the run another"):
        now.restore(tmp_path / "saved", device=CPU)


def test_a_checkpoint_of_other_weights_to_start_from_is_refused_whatever_their_name(
    config: TrainConfig, tmp_path: Path
) -> None:
    def of_now(start: dict[str, torch.Tensor], name: str) -> Progress:
        onward = config.model_copy(update={"start_from": name})
        return replace(fresh(onward), settings=identity_of(onward, start))

    of_now({"weight": torch.zeros(3)}, "one").save(tmp_path / "saved")
    of_now({"weight": torch.zeros(3)}, "moved").restore(tmp_path / "saved", device=CPU)
    with pytest.raises(TrainingFailed, match="another start_from"):
        of_now({"weight": torch.ones(3)}, "one").restore(tmp_path / "saved", device=CPU)


def test_a_run_goes_on_with_more_iterations_other_workers_and_another_text(
    config: TrainConfig, tmp_path: Path
) -> None:
    changes = {"iterations": 60_000, "workers": 2, "threads": 3, "notes": "new", "threshold": 0.3}
    now = config.model_copy(update=changes)
    former = replace(fresh(config), settings=identity_of(config, None))
    steps(former, config, 2)
    former.save(tmp_path / "saved")
    state = replace(fresh(now), settings=identity_of(now, None))
    state.restore(tmp_path / "saved", device=CPU)
    assert state.iteration == 2
    for one, other in zip(former.network.parameters(), state.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_time_of_a_run_is_that_of_its_reports_without_those_of_another_in_the_same_output(
    config: TrainConfig,
) -> None:
    """A worker was killed after iteration 30, so 20 to 30 are learnt twice, and take their time twice."""
    lines = [
        {"run": "paper", "iteration": 10, "seconds": 10.0},
        {"run": "other", "iteration": 500, "seconds": 490.0},
        {"run": "paper", "iteration": 30, "seconds": 20.0},
        {"run": "paper", "iteration": 30, "seconds": 11.5},
    ]
    for line in lines:
        append_line(config.output / PROGRESS_FILE, json.dumps(line))
    assert seconds_trained(config) == pytest.approx(41.5)


def test_an_interrupted_save_leaves_nothing(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        fresh(config).save(tmp_path / "saves" / "one")
    assert list((tmp_path / "saves").iterdir()) == []


def test_the_average_is_what_a_model_gets(config: TrainConfig, tmp_path: Path) -> None:
    state = fresh(config)
    state.average = {name: torch.zeros_like(v) for name, v in state.network.state_dict().items()}
    update_average(state.average, state.network, decay=0.9, iteration=10**6)
    state.save(tmp_path / "saved")
    assert {WEIGHTS, OPTIMIZER} <= {path.name for path in (tmp_path / "saved").iterdir()}
    weights = state.network.state_dict()["fc1.weight"]
    assert torch.allclose(final_weights(tmp_path / "saved")["fc1.weight"], 0.1 * weights)


def test_the_cosine_schedule_warms_up_and_ends_low(config: TrainConfig) -> None:
    assert learning_rate(config, 29_999) == config.learning_rate  # the paper's is constant
    cosine = config.model_copy(update={"schedule": "cosine", "iterations": 1000})
    rates = [learning_rate(cosine, iteration) for iteration in range(1000)]
    assert rates[0] == pytest.approx(config.learning_rate / 20)
    assert max(rates) == pytest.approx(config.learning_rate)
    assert rates[-1] < 0.02 * config.learning_rate


def test_a_torn_line_of_progress_spoils_none_that_follow(tmp_path: Path) -> None:
    file = tmp_path / "out" / "progress.jsonl"
    append_line(file, "first")
    append_line(file, "second")
    with file.open("a") as sink:
        sink.write("tor")
    append_line(file, "third")
    append_line(file, "fourth")
    assert file.read_text() == "first\nsecond\ntor\nthird\nfourth\n"
