"""Detection patch by patch, as the paper does it: the slow yardstick of the dense forms."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.networks.scaling import scaled

BATCH = 2048  # patches at once


@torch.inference_mode()
def detect_by_patches(
    network: FanNet, image: NDArray[np.uint8], *, stride_px: int = 1
) -> NDArray[np.float32]:
    """The probability map (H, W) of an image (H, W, C): every patch on its own, its votes averaged.

    The image is padded symmetrically. Patches are centred on each pixel of the image and of a
    frame of half a window around it, so that every pixel has the same number of votes (the paper
    has fewer in the outermost pixels, which its metric leaves out). Votes are averaged; the paper
    divides their sum by the image's largest, which would make a pixel depend on the whole image.
    With `stride_px` 2 or 4 only every second or fourth pixel each way has a patch.
    """
    network = network.eval()
    half = network.size // 2
    before, after = network.before_px + half, network.after_px + half
    padded = np.pad(image, ((before, after), (before, after), (0, 0)), mode="symmetric")
    side = network.before_px + network.after_px + 1
    patches = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    patches = patches[::stride_px, ::stride_px]
    rows, columns = patches.shape[:2]
    height, width = image.shape[:2]
    total = np.zeros((height + 6 * half, width + 6 * half), np.float64)
    votes = np.zeros_like(total)
    places = np.stack(np.meshgrid(range(rows), range(columns), indexing="ij"), -1).reshape(-1, 2)
    for start in range(0, len(places), BATCH):
        chosen = places[start : start + BATCH]
        cut = np.ascontiguousarray(patches[chosen[:, 0], chosen[:, 1]].transpose(0, 2, 3, 1))
        windows = torch.sigmoid(network(scaled(torch.from_numpy(cut))).float()).numpy()
        windows = windows.reshape(-1, network.size, network.size)
        for i in range(network.size):
            for j in range(network.size):
                at = (chosen[:, 0] * stride_px + i, chosen[:, 1] * stride_px + j)
                total[at] += windows[:, i, j]
                votes[at] += 1
    inside = (slice(2 * half, 2 * half + height), slice(2 * half, 2 * half + width))
    return np.asarray(total[inside] / votes[inside], np.float32)
