"""A network several times as wide begins where a trained one stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.networks.survey_net import SurveyNet
from pavemap.training.networks.wider import widened
from pavemap.training.start import former_weights, starting_network
from training.model_folders import write_model_folder

PIXELS = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def trained(width: int, *, context: bool) -> SurveyNet:
    """A network in which every weight and statistic says something."""
    torch.manual_seed(7)
    network = SurveyNet(width=width, context=context)
    for values in network.state_dict().values():
        if values.is_floating_point():
            values.copy_(torch.rand_like(values) * 0.2 + 0.05)
    return network.eval()


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("times", [2, 3])
def test_a_wider_network_computes_the_same_to_begin_with(times: int, *, context: bool) -> None:
    narrow = trained(4, context=context)
    wide = SurveyNet(width=4 * times, context=context).eval()
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict(), seed=0))
    with torch.no_grad():
        found, wanted = wide(PIXELS), narrow(PIXELS)
    assert wanted.std() > 0.01, "it tells pixels apart"
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_copies_of_a_channel_are_read_in_other_shares_so_that_they_learn_other_things() -> None:
    narrow = trained(4, context=False).state_dict()
    wide = widened(narrow, SurveyNet(width=8).state_dict(), seed=0)
    read = wide["down1.0.0.weight"]
    first, second = read[:, 0], read[:, 1]  # of one channel
    assert not torch.allclose(first, second)
    torch.testing.assert_close(
        first + second, narrow["down1.0.0.weight"].repeat_interleave(2, 0)[:, 0]
    )


def test_the_same_seed_gives_the_same_shares() -> None:
    narrow, shapes = trained(4, context=False).state_dict(), SurveyNet(width=8).state_dict()
    once, again, other = (widened(narrow, shapes, seed=seed)["head.weight"] for seed in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_what_fits_already_is_left_as_it_is() -> None:
    weights = FanNet().state_dict()
    found = widened(weights, FanNet().state_dict(), seed=0)
    assert all(torch.equal(value, found[name]) for name, value in weights.items())


def config(folder: Path, former: Path, width: int) -> TrainConfig:
    return parse_config(
        {
            "name": "onward",
            "output": folder / "out",
            "architecture": "survey-unet",
            "architecture_args": {"width": width, "context": True},
            "data": [{"folder": folder}],
            "start_from": str(former),
        }
    )


def test_a_training_starts_from_a_narrower_model(tmp_path: Path) -> None:
    """Which is given a level, too, that says nothing yet."""
    former = write_model_folder(tmp_path / "former", arguments={"width": 4})
    onward = config(tmp_path, former, 8)
    wide = starting_network(onward).eval()
    narrow = starting_network(config(tmp_path, former, 4)).eval()
    with torch.no_grad():
        torch.testing.assert_close(wide(PIXELS), narrow(PIXELS), rtol=1e-4, atol=1e-4)
    weights = former_weights(onward)
    assert weights is not None
    assert weights["head.weight"].shape == (4, 8, 1, 1), "start_share mixes them with the finished"


@pytest.mark.parametrize("width", [2, 6])
def test_a_width_that_is_no_multiple_is_refused(tmp_path: Path, width: int) -> None:
    former = write_model_folder(tmp_path / "former", arguments={"width": 4})
    with pytest.raises(BadTrainingConfig, match="a width that is a multiple of its"):
        former_weights(config(tmp_path, former, width))
