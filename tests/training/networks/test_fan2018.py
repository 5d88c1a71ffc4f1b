"""The networks are what their sources say, and no larger than a survey can afford."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from pavemap.training.architectures import build_network
from pavemap.training.errors import BadModel
from pavemap.training.networks.dense import dense_form
from pavemap.training.networks.fan2018 import Border, FanNet
from pavemap.training.networks.survey_net import SurveyNet


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_the_papers_network_has_the_layers_of_table_ii(channels: int, size: int) -> None:
    network = FanNet(channels=channels, size=size)
    assert network(torch.zeros(2, channels, 27, 27)).shape == (2, size * size)
    weights = [tuple(value.shape) for value in network.parameters() if value.ndim > 1]
    assert weights == [
        (16, channels, 3, 3),
        (16, 16, 3, 3),
        (32, 16, 3, 3),
        (32, 32, 3, 3),
        (64, 32 * 6 * 6),
        (64, 64),
        (size * size, 64),
    ]


def test_the_context_form_has_the_same_weights_and_sees_more_pixels() -> None:
    zeros, context = FanNet(border="zeros"), FanNet(border="context")
    context.load_state_dict(zeros.state_dict())
    assert context(torch.zeros(1, 3, 36, 36)).shape == (1, 25)
    assert (context.before_px + 1 + context.after_px, zeros.before_px + 1 + zeros.after_px) == (
        36,
        27,
    )


def test_both_forms_agree_where_no_border_is_in_reach() -> None:
    """On a patch of one colour and without biases, only the zeros make the difference."""
    torch.manual_seed(0)
    zeros, context = FanNet(border="zeros").eval(), FanNet(border="context").eval()
    context.load_state_dict(zeros.state_dict())
    patches = torch.zeros(4, 3, 36, 36)
    assert torch.equal(zeros(patches[:, :, 6:33, 6:33]), context(patches))


@pytest.mark.parametrize("border", ["zeros", "context"])
def test_weights_start_by_xavier(border: Border) -> None:
    torch.manual_seed(0)
    network = FanNet(border=border)
    bound = (6 / (32 * 36 + 64)) ** 0.5
    assert network.fc1.weight.abs().max() <= bound
    assert network.fc1.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not network.get_parameter("conv1.bias").any()


def test_the_papers_network_sees_an_image_as_its_dense_form_does() -> None:
    torch.manual_seed(0)
    network = FanNet(border="context").eval()
    image = torch.rand(2, 3, 40, 52) * 2 - 1
    form = dense_form(network, stride=4)
    extended = functional.pad(image, (form.pad_before, form.pad_after) * 2, mode="reflect")
    with torch.inference_mode():
        seen, wanted = torch.sigmoid(network(image)[:, 0]), form(extended)
    # Where two windows meet their logits are averaged here, and their probabilities there.
    assert torch.allclose(seen, wanted, atol=1e-3)
    assert torch.allclose(seen[:, 3:-2:4, 3:-2:4], wanted[:, 3:-2:4, 3:-2:4], atol=1e-6)


def test_a_network_that_makes_no_map_says_so() -> None:
    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(ValueError, match="patches alone"):
        FanNet(border="zeros")(image)
    with pytest.raises(ValueError, match="leave gaps"):
        FanNet(border="context", size=3)(image)


def test_the_survey_network_stays_under_40_thousand_multiply_adds_and_2_mb() -> None:
    network = SurveyNet().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 128, 128))
    assert counter.get_total_flops() / 2 / 128**2 < 40_000
    assert sum(value.numel() * 4 for value in network.state_dict().values()) < 2_000_000


def test_the_survey_network_has_no_view_of_the_whole_chip() -> None:
    forbidden = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.InstanceNorm2d, nn.GroupNorm)
    assert not any(isinstance(layer, forbidden) for layer in SurveyNet().modules())


def test_an_unknown_network_or_argument_is_refused() -> None:
    with pytest.raises(BadModel, match="no architecture 'vgg'"):
        build_network("vgg", {})
    with pytest.raises(BadModel, match="odd size"):
        build_network("fan2018", {"size": 4})
    for channels in (0, 2, 4, 2**62):
        with pytest.raises(BadModel, match="channels are 1 or 3"):
            build_network("fan2018", {}, channels=channels)
