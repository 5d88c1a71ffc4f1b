"""What a network is taught to make small: a loss for windows, and two for maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pavemap.training.config import Loss
from pavemap.training.metrics import TOLERANCE_PX

# So many right pixels are given to each sample: one without a crack then pays for what is found in it.
DICE_PRIOR_PX = 50.0
F1_PRIOR_PX = 25.0

SIDE = 2 * TOLERANCE_PX + 1  # of the window around a pixel
# Not all of it: a line that lies aside within the tolerance leaves a part of its width outside the window.
ENOUGH = 0.7
LEAST_MEAN = 1e-4  # of labels in a window around one: no label is so faint


def loss_of(
    logits: Tensor, labels: Tensor, weights: Tensor | None, *, kind: Loss = "overlap"
) -> Tensor:
    """The loss of a batch, a mean over its samples, so equal shares on workers average to it.

    For windows (N, s*s) it is the paper's cross entropy summed over the window (section II.C); for maps
    (N, 1, H, W) it is `overlap_loss` or `tolerant_loss`. Labels are (N, s, s) or (N, H, W); pixels
    whose weight is 0 teach nothing.
    """
    if logits.ndim == 2:
        losses = functional.binary_cross_entropy_with_logits(
            logits,
            labels.flatten(1),
            weight=None if weights is None else weights.flatten(1),
            reduction="none",
        )
        return losses.sum(1).mean()
    weights = torch.ones_like(labels) if weights is None else weights
    loss = tolerant_loss if kind == "tolerant" else overlap_loss
    return loss(logits[:, 0], labels, weights)


def overlap_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy plus Dice of each sample: one pixel aside is wrong. All (N, H, W)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, weight=weights)
    found, true = torch.sigmoid(logits) * weights, labels * weights
    both = (found * true).sum((1, 2))
    dice = (2 * both + DICE_PRIOR_PX) / (_area(found) + _area(true) + DICE_PRIOR_PX)
    return entropy * 2.0 + 0.5 * (1 - dice).mean()


def tolerant_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy plus what `soft_f1` of each sample lacks to 1. All (N, H, W).

    Where a crack lies its label tells to some 2 pixels only, and a loss that knows no tolerance spends
    a network on guessing where the annotator drew.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, weight=weights)
    return entropy + (1 - soft_f1(torch.sigmoid(logits) * weights, labels * weights)).mean()


def soft_f1(found: Tensor, true: Tensor) -> Tensor:
    """The paper's F1 (`metrics.count`) of probabilities in place of a mask; (N,) of two (N, H, W).

    Precision is the share of what is found within 2 pixels of what is true, as in the metric. Recall asks
    for more: in the window of 2 pixels around a true pixel, `ENOUGH` of what is true there must be found.
    The metric is content with one pixel in that window, and a network taught by just that draws
    doubtful cracks as dots, which are found as well and cost a tenth when they are wrong.
    """
    right = (found * _most_nearby(true)).sum((1, 2)) + F1_PRIOR_PX
    share = _mean_nearby(found) / (ENOUGH * _mean_nearby(true)).clamp_min(LEAST_MEAN)
    met = (true * share.clamp_max(1.0)).sum((1, 2)) + F1_PRIOR_PX
    precision, recall = right / (_area(found) + F1_PRIOR_PX), met / (_area(true) + F1_PRIOR_PX)
    return 2 * precision * recall / (precision + recall)


def _area(maps: Tensor) -> Tensor:
    return maps.sum((1, 2))


def _most_nearby(maps: Tensor) -> Tensor:
    return functional.max_pool2d(maps.unsqueeze(1), SIDE, stride=1, padding=TOLERANCE_PX).squeeze(1)


def _mean_nearby(maps: Tensor) -> Tensor:
    return functional.avg_pool2d(maps.unsqueeze(1), SIDE, stride=1, padding=TOLERANCE_PX).squeeze(1)
