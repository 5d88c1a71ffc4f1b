"""The losses say what they are said to: the tolerant one is the paper's metric, but for dots."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pavemap.training.config import Loss, parse_config
from pavemap.training.experiments import fitting
from pavemap.training.experiments.fitting import fit_batches
from pavemap.training.losses import F1_PRIOR_PX, loss_of, overlap_loss, soft_f1, tolerant_loss
from pavemap.training.metrics import count
from pavemap.training.networks.fan2018 import FanNet
from training.drawing import draw_image


def test_the_loss_of_windows_is_the_cross_entropy_summed_over_the_window() -> None:
    loss = loss_of(torch.zeros(8, 25), torch.ones(8, 5, 5), None)
    assert loss.item() == pytest.approx(25 * 0.693147, rel=1e-5)


@pytest.mark.parametrize("kind", ["overlap", "tolerant"])
def test_unlabelled_pixels_teach_nothing(kind: Loss) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 1, 16, 16), (torch.rand(2, 16, 16) > 0.8).float()
    weights = torch.ones_like(labels)
    weights[:, :8] = 0
    changed = labels.clone()
    changed[:, :8] = 1 - changed[:, :8]
    losses = [loss_of(logits, one, weights, kind=kind) for one in (labels, changed)]
    assert losses[0] == losses[1]


def test_soft_f1_of_lines_is_the_metric_but_for_the_pixels_given() -> None:
    found, true = _lines(10, 30, 52), _lines(12, 33, 52, 70)
    counts = count(found, true, frame_px=0)
    assert (counts.right, counts.found) == (2 * counts.detected / 3, 2 * counts.true / 4)
    precision = (counts.right + F1_PRIOR_PX) / (counts.detected + F1_PRIOR_PX)
    recall = (counts.found + F1_PRIOR_PX) / (counts.true + F1_PRIOR_PX)
    wanted = 2 * precision * recall / (precision + recall)
    assert soft_f1(_map(found), _map(true)).item() == pytest.approx(wanted, rel=1e-5)


def test_a_crack_beside_its_label_is_right_within_two_pixels() -> None:
    line = _map(_lines(16))
    assert soft_f1(_map(_lines(18)), line).item() == pytest.approx(1.0)
    assert soft_f1(_map(_lines(19)), line).item() < 0.5


def test_dots_do_not_pass_for_a_line() -> None:
    line, dots = _lines(16), _lines(16)
    dots[:, np.arange(100) % 5 != 0] = False
    assert count(dots, line, frame_px=0).score.f1 > 0.98  # which is what the metric says
    assert soft_f1(_map(dots), _map(line)).item() < 0.75


@pytest.mark.parametrize("loss", [overlap_loss, tolerant_loss])
def test_what_is_found_where_nothing_is_costs(loss: object) -> None:
    assert callable(loss)
    nothing, everywhere = torch.zeros(1, 100, 100), torch.ones(1, 100, 100)
    logits = torch.full((1, 100, 100), -8.0)
    found = logits + 16 * _map(_lines(10))
    assert loss(found, nothing, everywhere) > loss(logits, nothing, everywhere) + 0.1


def test_the_papers_network_learns_on_crops_by_the_tolerant_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "REPORTED_EVERY", 10)
    config = parse_config(
        {
            "name": "maps",
            "output": tmp_path,
            "data": [{"folder": tmp_path}],
            "loss": "tolerant",
            "iterations": 30,
            "batch_size": 2,
            "crop_px": 32,
            "report_every": 1,
            "average_decay": 0.0,
        }
    )
    fitted = fit_batches(
        config, [[draw_image(0)]], device=torch.device("cpu"), trainings=tmp_path / "trainings"
    )
    before, after = fitted.losses[0][1], fitted.losses[-1][1]
    assert isinstance(fitted.network, FanNet)
    assert after < before


def _lines(*rows: int) -> NDArray[np.bool_]:
    mask = np.zeros((100, 100), dtype=bool)
    mask[list(rows)] = True
    return mask


def _map(mask: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(mask[None].astype(np.float32))
