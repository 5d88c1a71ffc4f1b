"""The networks by the names that model cards use, with what training each of them takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pavemap.training.config import TrainConfig
from pavemap.training.crops import CropSampler
from pavemap.training.datasets import LabelledImage, read_source
from pavemap.training.errors import BadModel
from pavemap.training.network import FanNet
from pavemap.training.patches import PatchSampler
from pavemap.training.samples import Sampler
from pavemap.training.survey_net import SurveyNet


def build_network(
    architecture: str, arguments: Mapping[str, int | bool], *, channels: int = 3
) -> nn.Module:
    """A network with fresh weights. Raises BadModel when the architecture or an argument is unknown."""
    known = {"channels", "size" if architecture == "fan2018" else "width", "context"}
    unknown = set(arguments) - known
    if unknown:
        raise BadModel(
            f"{architecture} has no argument {', '.join(sorted(unknown))}; it has {known}."
        )
    given = {"channels": channels, **arguments}
    try:
        if architecture == "fan2018":
            return FanNet(
                channels=int(given["channels"]),
                size=int(given.get("size", 5)),
                border="context" if given.get("context", True) else "zeros",
            )
        if architecture == "survey-unet":
            return SurveyNet(
                channels=int(given["channels"]),
                width=int(given.get("width", 16)),
                context=bool(given.get("context", False)),
            )
    except ValueError as exc:
        raise BadModel(f"{architecture}: {exc}.") from exc
    raise BadModel(
        f"This version of pavemap knows no architecture {architecture!r}; update pavemap."
    )


def build_sampler(config: TrainConfig, network: nn.Module) -> Sampler:
    """The sampler of training data that suits a network."""
    channels = int(config.architecture_args.get("channels", 3))
    sets = [read_source(source, channels=channels) for source in config.data]
    return sampler_of(config, network, sets)


def sampler_of(
    config: TrainConfig, network: nn.Module, sets: Sequence[Sequence[LabelledImage]]
) -> Sampler:
    """The sampler that suits a network, on images already read, a set for each of the config's."""
    if isinstance(network, FanNet):
        return PatchSampler(
            [image for images in sets for image in images],
            before_px=network.before_px,
            after_px=network.after_px,
            size=network.size,
            negatives_per_positive=config.negatives_per_positive,
            flips=config.augmentation.flips,
            seed=config.seed,
        )
    return CropSampler(
        sets,
        weights=[source.weight for source in config.data],
        crop_px=config.crop_px,
        augmentation=config.augmentation,
        seed=config.seed,
    )


def scaled(pixels: Tensor) -> Tensor:
    """Bytes (N, H, W, C) as floats (N, C, H, W) in [-1, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1.0)


def loss_of(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """The loss of a batch, a mean over its samples, so equal shares on workers average to it.

    For windows (N, s*s) it is the paper's cross entropy summed over the window (section II.C);
    for maps (N, 1, H, W) cross entropy plus Dice of each sample.
    """
    if logits.ndim == 2:
        losses = functional.binary_cross_entropy_with_logits(
            logits, labels.flatten(1), reduction="none"
        )
        return losses.sum(1).mean()
    logits = logits[:, 0]
    weights = torch.ones_like(labels) if weights is None else weights
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, weight=weights)
    found = torch.sigmoid(logits) * weights
    wanted = labels * weights
    both = (found * wanted).sum((1, 2))
    dice = (2 * both + 50.0) / (found.sum((1, 2)) + wanted.sum((1, 2)) + 50.0)
    return entropy * 2.0 + 0.5 * (1 - dice).mean()
