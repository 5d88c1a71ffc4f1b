"""Thinning: the one-pixel skeleton of a crack mask, the same wherever the window lies.

Guo and Hall's parallel thinning (CACM 32(3), 1989, algorithm A1) peels a mask from two sides in
turn; it keeps every connection and every hole. All pixels of a sub-iteration are judged on the same
picture, so that neither the order of pixels nor the window's origin can matter, and a pixel depends
on nothing farther away than the local crack width.

Being the same for each pixel, the conditions are put to 64 pixels at once: a word of the mask and the
eight words shifted to its neighbours. A word is judged again only when something in or beside it has
gone, so the work grows with the length of the cracks, not with iterations x window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.bitmap import (
    BIT_NUMBERS,
    WORD,
    Bitmap,
    clear,
    is_set,
    neighbours,
    pixels_of,
    put,
)

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Skeleton:
    """A thinned mask.

    mask: what was thinned, small holes filled. lines: what was left of it.
    pixels: (P,) int64 ascending indices (see `bitmap`) of the skeleton's pixels.
    filled: (F,) int64 indices of the pixels that were filled before thinning.
    """

    mask: Bitmap
    lines: Bitmap
    pixels: NDArray[np.int64]
    filled: NDArray[np.int64]


def thin(mask: NDArray[np.bool_], *, max_hole_px: int = 0) -> Skeleton:
    """Thin a bool (H, W) mask to lines of one pixel.

    Holes of at most `max_hole_px` pixels are filled first: a pinhole in a wide crack isn't a loop.
    """
    packed = Bitmap.pack(mask)
    filled, words, pixels = _skeletonize(
        packed.words, packed.stride, packed.shape, max_hole_px, _SIMPLE, BIT_NUMBERS
    )
    return Skeleton(packed, Bitmap(words, packed.stride, packed.shape), pixels, filled)


def _simple() -> NDArray[np.uint8]:
    """Mark the codes whose centre can go without joining, splitting, ending or opening anything."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        p = [bool(code >> bit & 1) for bit in range(8)]
        crossings = sum(not p[k] and (p[k + 1] or p[(k + 2) % 8]) for k in (0, 2, 4, 6))
        table[code] = crossings == 1 and not all(p[0::2]) and sum(p) >= 2
    return table


_SIMPLE = _simple()


@kernel
def _skeletonize(
    mask: Words,
    stride: int,
    shape: tuple[int, int],
    max_hole_px: int,
    simple: NDArray[np.uint8],
    bit_numbers: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Words, NDArray[np.int64]]:
    """Fill holes in the mask; return their pixels, the thinned words and the pixels set in them."""
    filled = np.empty(0, np.int64)
    if max_hole_px:
        filled = _fill_holes(mask, stride, shape, max_hole_px, bit_numbers)
    words = mask.copy()
    _thin(words, stride // WORD)
    _split_blocks(words, stride, simple, bit_numbers)
    return filled, words, pixels_of(words, bit_numbers)


@kernel
def _thin(words: Words, stride: int) -> None:
    """Peel a mask in place until nothing changes; stride in words."""
    waiting = np.zeros(len(words), np.uint8)  # bit t: the word is in queue t
    count = 0
    for i in range(len(words)):
        count += words[i] != 0
    queues = np.empty((2, count + 1), np.int32)
    sizes = np.zeros(2, np.int64)
    for i in range(len(words)):
        if words[i]:
            _enqueue(i, waiting, queues, sizes)
    changed, gone = np.empty(count + 1, np.int32), np.empty(count + 1, np.uint64)
    turn = 0
    while sizes[0] + sizes[1] > 0:
        count = 0
        for k in range(sizes[turn]):
            i = queues[turn, k]
            waiting[i] &= ~(1 << turn)
            bits = _deletable(words, i, stride, turn)
            if bits:
                changed[count], gone[count] = i, bits
                count += 1
        sizes[turn] = 0
        for k in range(count):
            words[changed[k]] &= ~gone[k]
        for k in range(count):
            i = changed[k]
            first = i - (gone[k] & np.uint64(1) != 0)  # words beside it see only its outer bits
            last = i + (gone[k] >> np.uint64(63) != 0)
            for row in (-stride, 0, stride):
                for j in range(first + row, last + row + 1):
                    if words[j]:
                        _enqueue(j, waiting, queues, sizes)
        turn = 1 - turn


@kernel
def _enqueue(
    i: int, waiting: NDArray[np.uint8], queues: NDArray[np.int32], sizes: NDArray[np.int64]
) -> None:
    """Have a word judged again in both turns."""
    for turn in range(2):
        if not waiting[i] >> turn & 1:
            queues[turn, sizes[turn]] = i
            sizes[turn] += 1
    waiting[i] = 3


@kernel
def _deletable(words: Words, i: int, stride: int, turn: int) -> np.uint64:
    """Return the bits of a word that Guo and Hall's conditions let go; p2 to p9 run from north."""
    centre = words[i]
    one, top = np.uint64(1), np.uint64(63)
    p2, p6 = words[i - stride], words[i + stride]
    p9 = p2 << one | words[i - stride - 1] >> top
    p3 = p2 >> one | words[i - stride + 1] << top
    p8 = centre << one | words[i - 1] >> top
    p4 = centre >> one | words[i + 1] << top
    p7 = p6 << one | words[i + stride - 1] >> top
    p5 = p6 >> one | words[i + stride + 1] << top
    # C(p) = 1: exactly one of four crossings from background to crack around the pixel.
    a, b = ~p2 & (p3 | p4), ~p4 & (p5 | p6)
    c, d = ~p6 & (p7 | p8), ~p8 & (p9 | p2)
    single = (a ^ b ^ c ^ d) & ~(a & b | c & d)
    # 2 <= N(p) <= 3, N the smaller of two counts of neighbour pairs.
    a, b, c, d = p9 | p2, p3 | p4, p5 | p6, p7 | p8
    two, four = a & b | c & d | (a | b) & (c | d), a & b & c & d
    a, b, c, d = p2 | p3, p4 | p5, p6 | p7, p8 | p9
    two &= a & b | c & d | (a | b) & (c | d)
    four &= a & b & c & d
    keep = (p2 | p3 | ~p5) & p4 if turn else (p6 | p7 | ~p9) & p8
    return np.uint64(centre & single & two & ~four & ~keep)


@kernel
def _split_blocks(
    words: Words, stride: int, simple: NDArray[np.uint8], bit_numbers: NDArray[np.int64]
) -> None:
    """Take the first spare pixel, in reading order, out of 2 x 2 blocks that thinning has left."""
    one, top = np.uint64(1), np.uint64(63)
    below = stride // WORD
    corners = np.zeros_like(words)
    for i in range(len(words) - below - 1):
        if words[i]:
            south = words[i + below]
            east = words[i] >> one | words[i + 1] << top
            corners[i] = words[i] & south & east & (south >> one | words[i + below + 1] << top)
    for pixel in pixels_of(corners, bit_numbers):
        block = (pixel, pixel + 1, pixel + stride, pixel + stride + 1)
        if not (is_set(words, block[0]) and is_set(words, block[1])):
            continue
        if not (is_set(words, block[2]) and is_set(words, block[3])):
            continue
        for corner in block:
            if simple[neighbours(words, stride, corner)]:
                clear(words, corner)
                break


@kernel
def _fill_holes(
    words: Words,
    stride: int,
    shape: tuple[int, int],
    limit: int,
    bit_numbers: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Set the pixels of every 4-connected hole of at most `limit` pixels; return their indices."""
    one, top = np.uint64(1), np.uint64(63)
    above = stride // WORD
    corners = np.zeros_like(words)
    for i in range(above, len(words)):
        if words[i - above]:  # a hole's first pixel in reading order has mask to its north and west
            corners[i] = ~words[i] & words[i - above] & (words[i] << one | words[i - 1] >> top)
    hole = np.empty(limit + 1, np.int64)
    filled, count = np.empty(64, np.int64), 0
    for corner in pixels_of(corners, bit_numbers):
        if is_set(words, corner) or not _walled(words, stride, corner, limit):
            continue
        size = _flood(words, stride, shape, corner, hole)
        for k in range(size):
            put(words, hole[k])
        if count + size > len(filled):  # doubled, or a mask of much noise would cost its square
            more = np.empty(2 * len(filled) + size, np.int64)
            more[:count] = filled[:count]
            filled = more
        filled[count : count + size] = hole[:size]
        count += size
    return filled[:count].copy()


@kernel
def _walled(words: Words, stride: int, corner: int, limit: int) -> bool:
    """Tell quickly whether mask is within reach to the east and to the south, as around a hole."""
    for step in (1, stride):
        other = corner
        for _ in range(limit):
            other += step
            if other >= WORD * len(words) or is_set(words, other):
                break
        if other >= WORD * len(words) or not is_set(words, other):
            return False
    return True


@kernel
def _flood(
    words: Words, stride: int, shape: tuple[int, int], start: int, hole: NDArray[np.int64]
) -> int:
    """Collect the background around `start`; 0 when it is larger than `hole` or meets the border."""
    hole[0] = start
    size, done = 1, 0
    while done < size:
        pixel = hole[done]
        done += 1
        row, col = pixel // stride - 1, pixel % stride - WORD
        if row < 0 or col < 0 or row >= shape[0] or col >= shape[1]:
            return 0
        for step in (-stride, 1, stride, -1):
            other = pixel + step
            if not is_set(words, other) and not _contains(hole, size, other):
                if size == len(hole) - 1:
                    return 0
                hole[size] = other
                size += 1
    return size


@kernel
def _contains(values: NDArray[np.int64], size: int, value: int) -> bool:
    for k in range(size):  # noqa: SIM110 - numba compiles loops, not generators
        if values[k] == value:
            return True
    return False
