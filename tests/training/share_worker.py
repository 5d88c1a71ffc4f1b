"""One step of a network on a share of a drawn batch, in this process or in one of two."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pavemap.training.architectures import build_network
from pavemap.training.shares import Share, SharedNorm, learn_in_shares

SIZE = 3
CPU = torch.device("cpu")


def learnt(network: nn.Module, share: Share) -> dict[str, Tensor]:
    """Gradients and statistics after one step on this share of a batch of SIZE drawn images."""
    model = DistributedDataParallel(network) if share.world > 1 else network
    pixels = torch.randn(SIZE, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    loss = model.train()(pixels[share.first : share.last]).square().mean((1, 2, 3)).mean()
    torch.autograd.backward(loss * share.weight)
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {**gradients, **{name: b.clone() for name, b in network.named_buffers()}}


def survey_network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("survey-unet", {"width": 4})


def worker(rank: int, folder: str) -> None:
    """One of two processes, with one and with two of the three slots."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    share = Share.of(SIZE, rank=rank, world=2)
    network = learn_in_shares(survey_network(), share, CPU)
    assert any(isinstance(module, SharedNorm) for module in network.modules())
    torch.save(learnt(network, share), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()
