"""Workers that hold shares of a batch learn what one worker with the whole of it does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from pavemap.training.shares import Share, SlotDropout, learn_in_shares
from training.share_worker import CPU, SIZE, learnt, survey_network, worker

WHOLE = Share.of(SIZE, rank=0, world=1)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_shares_cover_the_batch_once_and_weigh_what_they_hold(world: int) -> None:
    shares = [Share.of(8, rank=rank, world=world) for rank in range(world)]
    assert [slot for share in shares for slot in range(share.first, share.last)] == list(range(8))
    assert sum(share.weight for share in shares) == pytest.approx(world)


def test_dropout_is_cut_from_one_mask() -> None:
    def dropped(rank: int, world: int) -> Tensor:
        torch.manual_seed(5)
        share = Share.of(SIZE, rank=rank, world=world)
        found: Tensor = SlotDropout(0.5, share)(torch.ones(share.last - share.first, 10))
        return found

    together = torch.cat([dropped(0, 2), dropped(1, 2)])
    assert torch.equal(together, dropped(0, 1))
    torch.manual_seed(5)
    assert torch.equal(together, nn.Dropout(0.5)(torch.ones(SIZE, 10)))
    assert set(together.flatten().tolist()) == {0.0, 2.0}


def test_two_workers_with_unequal_shares_have_the_gradients_and_statistics_of_one(
    tmp_path: Path,
) -> None:
    spawn(worker, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    network = survey_network()
    expected = learnt(learn_in_shares(network, WHOLE, CPU), WHOLE)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert set(found) == set(expected)
        for name, value in expected.items():
            scale = max(1e-3, float(value.abs().max()))
            assert torch.allclose(found[name], value, atol=1e-4 * scale, rtol=0), name
