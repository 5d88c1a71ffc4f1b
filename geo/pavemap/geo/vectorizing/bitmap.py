"""Masks with one bit a pixel: 64 pixels are one word, and neighbours are index arithmetic.

A pixel's index is (row + 1) * stride + col + 64, with `stride` a multiple of 64; word index // 64 holds
it in bit index % 64. A row of zeros above and below and a word of zeros before each row frame the mask:
what lies outside is background, and no index within 64 columns of a pixel leaves its row unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel

WORD = 64

# The eight neighbours, bit 0 to 7 of a code: clockwise from north (p2 to p9 of Guo and Hall).
ROW_STEPS = (-1, -1, 0, 1, 1, 1, 0, -1)
COL_STEPS = (0, 1, 1, 1, 0, -1, -1, -1)


@dataclass(frozen=True)
class Bitmap:
    """A mask of `shape` (H, W) packed into (N,) uint64 `words`, rows `stride` pixels apart."""

    words: NDArray[np.uint64]
    stride: int
    shape: tuple[int, int]

    @classmethod
    def pack(cls, mask: NDArray[np.bool_]) -> Bitmap:
        """Pack a bool (H, W) mask."""
        rows, cols = mask.shape
        stride = (-(-cols // WORD) + 1) * WORD
        octets = np.zeros(((rows + 2) * stride + WORD) // 8, np.uint8)
        framed = octets[: (rows + 2) * stride // 8].reshape(rows + 2, stride // 8)
        packed = np.packbits(mask, axis=1, bitorder="little")
        framed[1:-1, WORD // 8 : WORD // 8 + packed.shape[1]] = packed
        return cls(octets.view("<u8"), stride, (rows, cols))

    def places(self, pixels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows and columns of pixel indices."""
        rows, cols = np.divmod(pixels, self.stride)
        return rows - 1, cols - WORD

    def steps(self) -> NDArray[np.int64]:
        """Return (8,) index steps to the neighbours, in the order of a code's bits."""
        return np.array(ROW_STEPS, np.int64) * self.stride + np.array(COL_STEPS, np.int64)


def _positions() -> NDArray[np.int64]:
    """Return the bit's number for each product of a lone bit with _DE_BRUIJN, shifted down to 6 bits."""
    table = np.zeros(WORD, np.int64)
    for bit in range(WORD):
        table[(((1 << bit) * int(_DE_BRUIJN)) >> 58) & 63] = bit
    return table


_ONE = np.uint64(1)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
BIT_NUMBERS = _positions()
"""For `pixels_of`."""


@kernel
def is_set(words: NDArray[np.uint64], pixel: int) -> bool:
    """Tell whether a pixel is set."""
    return bool(words[pixel >> 6] >> np.uint64(pixel & 63) & np.uint64(1))


@kernel
def clear(words: NDArray[np.uint64], pixel: int) -> None:
    """Unset a pixel."""
    words[pixel >> 6] &= ~(np.uint64(1) << np.uint64(pixel & 63))


@kernel
def put(words: NDArray[np.uint64], pixel: int) -> None:
    """Set a pixel."""
    words[pixel >> 6] |= np.uint64(1) << np.uint64(pixel & 63)


@kernel
def _three(words: NDArray[np.uint64], pixel: int) -> np.uint64:
    """Return the bits of a pixel's west neighbour, itself and its east neighbour, in bits 0 to 2."""
    start = np.uint64(pixel - 1)
    i, shift = start >> np.uint64(6), start & np.uint64(63)
    # Shifted in two steps: a word can't be shifted by 64. Without a branch this is ten times faster.
    following = words[i + _ONE] << _ONE << np.uint64(63) - shift
    return np.uint64((words[i] >> shift | following) & np.uint64(7))


@kernel
def neighbours(words: NDArray[np.uint64], stride: int, pixel: int) -> int:
    """Return the code of a pixel's eight neighbours: north in bit 0, then clockwise."""
    north = _three(words, pixel - stride)
    beside = _three(words, pixel)
    south = _three(words, pixel + stride)
    east_side = north >> _ONE | beside & np.uint64(4) | (south & np.uint64(4)) << _ONE
    south_side = (south & np.uint64(2)) << np.uint64(3) | (south & _ONE) << np.uint64(5)
    west_side = (beside & _ONE) << np.uint64(6) | (north & _ONE) << np.uint64(7)
    return np.int64(east_side | south_side | west_side)  # type: ignore[return-value]


@kernel
def pixels_of(words: NDArray[np.uint64], bit_numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ascending indices of all pixels that are set; bit_numbers is BIT_NUMBERS."""
    used = 0
    for word in words:
        used += word != 0
    found = np.empty(used * WORD, np.int64)  # memory that is never written to costs nothing
    count = 0
    for i in range(len(words)):
        word = words[i]
        while word:
            lone = word & (~word + _ONE)
            found[count] = WORD * i + bit_numbers[(lone * _DE_BRUIJN) >> np.uint64(58)]
            count += 1
            word ^= lone
    return found[:count].copy()
