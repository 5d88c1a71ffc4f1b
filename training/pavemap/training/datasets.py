"""Labelled images from folders: which files belong together, and what their masks mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.config import DataSource
from pavemap.training.errors import BadTrainingData

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Pair:
    """An image file and its mask file."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class LabelledImage:
    """An image with its ground truth."""

    name: str
    pixels: NDArray[np.uint8]  # (H, W, C), C = 1 grey or 3 RGB
    crack: NDArray[np.bool_]  # (H, W)
    ignore: NDArray[np.bool_]  # (H, W), True where the label says neither crack nor sound


def list_pairs(source: DataSource) -> list[Pair]:
    """The pairs of a source, in the order of its list file or by name.

    Raises BadTrainingData when a folder, list or mask is missing, or nothing is left to use.
    """
    images = _by_stem(source.folder / "images")
    masks = _by_stem(source.folder / "masks")
    names = sorted(images) if source.list is None else _read_list(source.folder, source.list)
    if source.leave_out_every:
        kept_back = set(names[source.leave_out_every - 1 :: source.leave_out_every])
        names = [name for name in names if (name in kept_back) == source.left_out]
    if not names:
        raise BadTrainingData(f"{source.label}: no image to use in {source.folder}.")
    for folder, there in (("images", images), ("masks", masks)):
        missing = [name for name in names if name not in there]
        if missing:
            raise BadTrainingData(
                f"{source.folder / folder} lacks {len(missing)} of {len(names)} files, "
                f"the first is {missing[0]}; every image needs a mask of the same name."
            )
    return [Pair(name, images[name], masks[name]) for name in names]


def read_pair(pair: Pair, source: DataSource, *, channels: int = 3) -> LabelledImage:
    """Read one image with its mask; `channels` is 3 (RGB) or 1 (grey).

    Raises BadTrainingData when a file can't be decoded or the sizes differ.
    """
    pixels = _decode(pair.image, cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
    pixels = pixels[:, :, ::-1] if channels == 3 else pixels[:, :, None]
    mask = _decode(pair.mask, cv2.IMREAD_GRAYSCALE)
    if mask.shape != pixels.shape[:2]:
        raise BadTrainingData(
            f"{pair.mask} is {mask.shape[1]}x{mask.shape[0]} pixels but its image is "
            f"{pixels.shape[1]}x{pixels.shape[0]}; they must match."
        )
    return LabelledImage(
        name=pair.name,
        pixels=np.ascontiguousarray(pixels),
        crack=crack_of(mask, source),
        ignore=np.isin(mask, source.ignore_values),
    )


def crack_of(mask: NDArray[np.uint8], source: DataSource) -> NDArray[np.bool_]:
    """Where a mask (H, W) says crack, by the coding of its source."""
    if source.crack_values:
        return np.isin(mask, source.crack_values)
    return mask < 128 if source.inverted else mask >= 128


def read_source(source: DataSource, *, channels: int = 3) -> list[LabelledImage]:
    """Every labelled image of a source."""
    return [read_pair(pair, source, channels=channels) for pair in list_pairs(source)]


def check_sources(sources: Iterable[DataSource]) -> int:
    """Check that sources are complete before anything starts; the number of images.

    Reads one pair of each source, so that an unreadable or mismatched set is found at once.
    """
    total = 0
    for source in sources:
        pairs = list_pairs(source)
        read_pair(pairs[0], source)
        total += len(pairs)
    return total


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise BadTrainingData(
            f"The folder {folder} is missing; a data set is a folder with images/ and masks/."
        )
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
    }


def _read_list(folder: Path, name: str) -> list[str]:
    path = folder / (name if name.endswith(".txt") else f"{name}.txt")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as exc:
        raise BadTrainingData(f"Can't read the list file {path}: {exc.strerror}.") from exc
    names = [Path(line.strip()).name for line in lines if line.strip()]
    stems = [
        Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name for name in names
    ]
    if not stems:
        raise BadTrainingData(f"The list file {path} names no image.")
    return stems


def _decode(path: Path, flag: int) -> NDArray[np.uint8]:
    decoded = cv2.imread(str(path), flag)
    if decoded is None:
        raise BadTrainingData(f"{path} can't be read as an image; is it complete?")
    return np.asarray(decoded, dtype=np.uint8)
