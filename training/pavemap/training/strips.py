"""The survey network on a CPU: its fine levels strip by strip, its coarse ones once.

The fine levels make and read most of a network's memory, and look a few pixels around; so a strip of
them stays in the processor's cache. The coarse ones look far, but are small enough for a cell as a whole.
Windows of all levels, which overlap by what the coarse ones see, would do a quarter more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pavemap.training.survey_net import FINE_REACH_PX, SurveyNet

STRIP_PX = 256  # rows


def logits_by_strips(network: SurveyNet, pixels: Tensor) -> Tensor:
    """What the network gives for pixels (N, C, H, W), logits (N, 1, H, W), to the last digits."""
    height = pixels.shape[2]
    strips = [_Strip(top, height) for top in range(0, height, STRIP_PX)]
    fine = torch.cat([strip.own(network.fine(strip.around(pixels))) for strip in strips], 2)
    coarse = network.coarse(fine)
    found = [
        strip.own(network.finish(strip.around(fine), strip.around(coarse))) for strip in strips
    ]
    return torch.cat(found, 2)


@dataclass(frozen=True)
class _Strip:
    """`STRIP_PX` rows from `top` on, or what an image of `height` pixels has left, in maps of any scale."""

    top: int
    height: int

    def around(self, maps: Tensor) -> Tensor:
        """The strip of maps of the whole image, with the rows above and below that it depends on."""
        first, last = self._span()
        rows = maps.shape[2]
        return maps[:, :, first * rows // self.height : last * rows // self.height]

    def own(self, part: Tensor) -> Tensor:
        """The strip alone, of maps of itself and those rows."""
        first, last = self._span()
        rows, bottom = part.shape[2], min(self.height, self.top + STRIP_PX)
        start, stop = ((row - first) * rows // (last - first) for row in (self.top, bottom))
        return part[:, :, start:stop]

    def _span(self) -> tuple[int, int]:
        below = self.top + STRIP_PX + FINE_REACH_PX
        return max(0, self.top - FINE_REACH_PX), min(self.height, below)
