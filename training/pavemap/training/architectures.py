"""The networks by the names that model cards use, with what training each of them takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from pavemap.training.config import TrainConfig
from pavemap.training.data.datasets import LabelledImage, read_source
from pavemap.training.errors import BadModel
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.networks.survey_net import SurveyNet
from pavemap.training.sampling.crops import CropSampler
from pavemap.training.sampling.patches import PatchSampler
from pavemap.training.sampling.samples import Sampler


def build_network(
    architecture: str, arguments: Mapping[str, int | bool], *, channels: int = 3
) -> nn.Module:
    """A network with fresh weights. Raises BadModel when the architecture or an argument is unknown."""
    known = {"channels", "size" if architecture == "fan2018" else "width", "context"}
    unknown = set(arguments) - known
    if unknown:
        raise BadModel(
            f"{architecture} has no argument {', '.join(sorted(unknown))}; it has {known}"
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
        raise BadModel(f"{architecture}: {exc}") from exc
    raise BadModel.unknown(architecture)


def network_to_train(config: TrainConfig) -> nn.Module:
    """A configuration's network with fresh weights. Raises BadModel as `build_network` does."""
    network = build_network(config.architecture, config.architecture_args)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = config.dropout
    return network


def build_sampler(config: TrainConfig, network: nn.Module) -> Sampler:
    """The sampler of training data that suits a network."""
    channels = int(config.architecture_args.get("channels", 3))
    sets = [read_source(source, channels=channels) for source in config.data]
    return sampler_of(config, network, sets)


def sampler_of(
    config: TrainConfig, network: nn.Module, sets: Sequence[Sequence[LabelledImage]]
) -> Sampler:
    """The sampler that suits a network, on images already read, a set for each of the config's.

    The paper's network is taught on patches, or by the tolerant loss on crops as the others are.
    """
    if isinstance(network, FanNet) and config.loss != "tolerant":
        return PatchSampler(
            sets,
            weights=[source.weight for source in config.data],
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
