"""Whole images at once give what patch by patch gives, and no pixel depends on anything far away."""

from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pavemap.training.errors import BadModel
from pavemap.training.networks.dense import DenseForm, dense_form
from pavemap.training.networks.fan2018 import Border, FanNet
from pavemap.training.networks.reference import detect_by_patches
from pavemap.training.networks.scaling import scaled
from pavemap.training.networks.survey_net import SurveyNet
from pavemap.training.networks.survey_on_cpu import SurveyOnCpu
from pavemap.training.start import ADDED
from training.drawing import draw_image


@torch.inference_mode()
def detect_at_once(form: DenseForm, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    pad = (form.pad_before, form.pad_after)
    extended = np.pad(image, (pad, pad, (0, 0)), mode="symmetric")
    found: NDArray[np.float32] = form(scaled(torch.from_numpy(extended[None])))[0].numpy()
    return found


def lively(network: FanNet) -> FanNet:
    """Weights large enough that outputs differ from pixel to pixel."""
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        network.fc3.weight.mul_(60)
    return network.eval()


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("border", ["context", "zeros"])
def test_the_dense_form_equals_patch_by_patch(border: Border, channels: int, stride: int) -> None:
    torch.manual_seed(stride)
    network = lively(FanNet(channels=channels, border=border))
    image = draw_image(0, height=28, width=36, channels=channels).pixels
    by_patches = detect_by_patches(network, image, stride_px=stride)
    at_once = detect_at_once(dense_form(network, stride=stride), image)
    assert np.ptp(by_patches) > 0.02
    assert np.abs(at_once - by_patches).max() < 1e-3


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 2), (7, 4)])
def test_other_window_sizes_are_exact_too(size: int, stride: int) -> None:
    torch.manual_seed(size)
    network = lively(FanNet(size=size, border="context"))
    image = draw_image(1, height=20, width=24).pixels
    by_patches = detect_by_patches(network, image, stride_px=stride)
    assert (
        np.abs(detect_at_once(dense_form(network, stride=stride), image) - by_patches).max() < 1e-3
    )


def test_a_grid_coarser_than_the_window_would_leave_gaps() -> None:
    with pytest.raises(BadModel, match="stride 4"):
        dense_form(FanNet(size=3, border="context"), stride=4)


def lively_survey(*, context: bool = False, channels: int = 3) -> SurveyNet:
    torch.manual_seed(0)
    network = SurveyNet(context=context, channels=channels).double()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.1, 0.5)
    if network.wide is not None:
        torch.nn.init.normal_(cast(torch.Tensor, network.wide[4].weight), std=0.1)
    return network.eval()


BOTH = pytest.mark.parametrize("context", [False, True], ids=["plain", "context"])


@BOTH
def test_folding_the_normalisation_changes_nothing(context: bool) -> None:
    network = lively_survey(context=context)
    pixels = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(
            torch.sigmoid(network(pixels)[:, 0]).float(), dense_form(network)(pixels), atol=1e-6
        )


@BOTH
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("bf16", "near"), [(False, 1e-3), (True, 0.1)])
def test_openvino_computes_what_torch_does(
    channels: int, context: bool, bf16: bool, near: float
) -> None:
    network = lively_survey(context=context, channels=channels).float()
    network.head.weight.data *= 30
    compiled = SurveyOnCpu(network, channels=channels, bf16=bf16, threads=2)
    for count, height, width in ((1, 144, 96), (3, 64, 160)):
        chips = torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8)
        with torch.inference_mode():
            expected = network(scaled(chips))
        found = compiled.logits(chips.numpy())
        assert float(expected.std()) > 0.5
        assert torch.allclose(found, expected, rtol=0, atol=near)


def test_threads_may_share_a_compiled_network() -> None:
    compiled = SurveyOnCpu(lively_survey().float(), channels=3, bf16=False, threads=2)
    rng = np.random.default_rng(0)
    chips = [rng.integers(0, 256, (1, 64, 64 + 8 * n, 3), dtype=np.uint8) for n in range(6)]
    alone = [compiled.logits(chip) for chip in chips]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(compiled.logits, chips * 3))
    assert all(torch.equal(a, b) for a, b in zip(alone * 3, together, strict=True))


@BOTH
def test_a_pixel_changes_nothing_beyond_the_networks_reach(context: bool) -> None:
    network = lively_survey(context=context)
    side = 2 * network.reach_px + 144
    pixels = torch.rand(1, 3, side, side, dtype=torch.float64)
    farthest = 0
    with torch.inference_mode():
        before = network(pixels)
    for phase in range(network.alignment_px):
        changed = pixels.clone()
        at = side // 2 + phase
        changed[0, :, at, at] += 1
        with torch.inference_mode():
            differs = (before != network(changed))[0, 0].nonzero()
        farthest = max(farthest, int((differs - at).abs().max()))
    assert network.reach_px // 2 < farthest <= network.reach_px


@BOTH
def test_the_chips_phase_matters_only_modulo_the_networks_alignment(context: bool) -> None:
    network = lively_survey(context=context)
    step, reach = network.alignment_px, network.reach_px
    side = 2 * reach + 128
    pixels = torch.rand(1, 3, side, side, dtype=torch.float64)
    with torch.inference_mode():
        whole, part = network(pixels), network(pixels[:, :, step:, 2 * step :])
    inner = slice(reach, -reach)
    assert torch.allclose(
        whole[:, :, step:, 2 * step :][:, :, inner, inner], part[:, :, inner, inner]
    )


def test_context_adds_nothing_before_it_has_learnt() -> None:
    plain, wider = lively_survey(), SurveyNet(context=True).double().eval()
    found = wider.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith(ADDED) for name in found.missing_keys)
    assert not found.unexpected_keys
    pixels = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.equal(plain(pixels), wider(pixels))


def test_weights_of_no_size_are_zero_and_change_nothing() -> None:
    torch.manual_seed(0)
    network = FanNet(border="context").eval()
    with torch.no_grad():
        network.fc1.weight[::2] = (
            1e-40  # what years of decay leave; an FPU takes its time over them
        )
    pixels = torch.rand(1, 3, 80, 80)
    before = network(pixels[:, :, :36, :36])
    form = dense_form(network)
    assert not any(0 < value < 1e-38 for value in network.fc1.weight.abs().flatten().tolist())
    assert torch.equal(network(pixels[:, :, :36, :36]), before)
    assert torch.isfinite(form(pixels)).all()
