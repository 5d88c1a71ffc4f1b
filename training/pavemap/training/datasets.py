"""Labelled images from folders: which files belong together, and what their masks mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.config import DataSource
from pavemap.training.errors import BadTrainingData
from pavemap.training.manifest import (
    MANIFEST_FILE,
    Example,
    FileDigest,
    Manifest,
    check_all_files,
    check_file,
    read_manifest,
)

CODING = {"inverted", "crack_values", "ignore_values"}  # of masks, in a DataSource
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Pair:
    """An image file and its mask file; `told` is what the set's manifest says of them, if it has one."""

    name: str
    image: Path
    mask: Path
    told: Example | None = None
    ignore_values: tuple[int, ...] = ()


@dataclass(frozen=True)
class LabelledImage:
    """An image with its ground truth."""

    name: str
    pixels: NDArray[np.uint8]  # (H, W, C), C = 1 grey or 3 RGB
    crack: NDArray[np.bool_]  # (H, W)
    ignore: NDArray[np.bool_]  # (H, W), True where the label says neither crack nor sound

    def digest(self) -> str:
        """SHA-256 of pixels and truth, whatever the image is called."""
        found = sha256()
        for array in (self.pixels, self.crack, self.ignore):
            found.update(str(array.shape).encode())
            found.update(array.tobytes())
        return found.hexdigest()


def list_pairs(source: DataSource) -> list[Pair]:
    """The pairs of a source, in the order of its list file or by name.

    Raises BadTrainingData when a folder, list or mask is missing, nothing is left to use, or the
    folder's manifest does not know a file.
    """
    manifest = read_manifest(source.folder)
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
    pairs = [Pair(name, images[name], masks[name]) for name in names]
    return pairs if manifest is None else [_told(pair, source, manifest) for pair in pairs]


def read_pair(pair: Pair, source: DataSource, *, channels: int = 3) -> LabelledImage:
    """Read one image with its mask; `channels` is 3 (RGB) or 1 (grey).

    Raises BadTrainingData when a file can't be decoded, is not the one its manifest tells of, or the
    sizes differ.
    """
    flag = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    pixels = _decode(pair.image, flag, pair.told.image if pair.told else None)
    pixels = pixels[:, :, ::-1] if channels == 3 else pixels[:, :, None]
    mask = _decode(pair.mask, cv2.IMREAD_GRAYSCALE, pair.told.mask if pair.told else None)
    if mask.shape != pixels.shape[:2]:
        raise BadTrainingData(
            f"{pair.mask} is {mask.shape[1]}x{mask.shape[0]} pixels but its image is "
            f"{pixels.shape[1]}x{pixels.shape[0]}; they must match."
        )
    ignore = np.isin(mask, source.ignore_values or pair.ignore_values)
    return LabelledImage(
        name=pair.name,
        pixels=np.ascontiguousarray(pixels),
        crack=crack_of(mask, source) & ~ignore,
        ignore=ignore,
    )


def crack_of(mask: NDArray[np.uint8], source: DataSource) -> NDArray[np.bool_]:
    """Where a mask (H, W) says crack, by the coding of its source."""
    if source.crack_values:
        return np.isin(mask, source.crack_values)
    return mask < 128 if source.inverted else mask >= 128


def read_source(source: DataSource, *, channels: int = 3) -> list[LabelledImage]:
    """Every labelled image of a source."""
    return [read_pair(pair, source, channels=channels) for pair in list_pairs(source)]


def fingerprint(sources: Iterable[DataSource]) -> str:
    """SHA-256 of what sets are made of: names and sizes of their files, manifests, codings of masks.

    Where a set lies is no part of it, nor how often it is drawn from.
    """
    found = sha256()
    for source in sources:
        coding = source.model_dump(mode="json", include=CODING)
        found.update(json.dumps(coding, sort_keys=True).encode())
        for pair in list_pairs(source):
            sizes = [file.stat().st_size for file in (pair.image, pair.mask)]
            told = [] if pair.told is None else [pair.told.image.sha256, pair.told.mask.sha256]
            found.update(json.dumps([pair.name, sizes, told]).encode())
    return found.hexdigest()


def check_sources(sources: Iterable[DataSource]) -> int:
    """Check that sources are complete before anything starts; the number of images.

    Reads one pair of each source, so that an unreadable or mismatched set is found at once; of a set
    with a manifest every file is checked.
    """
    total = 0
    for source in sources:
        pairs = list_pairs(source)
        manifest = read_manifest(source.folder)
        if manifest is not None:
            check_all_files(source.folder, manifest)
        read_pair(pairs[0], source)
        total += len(pairs)
    return total


def _told(pair: Pair, source: DataSource, manifest: Manifest) -> Pair:
    """Add what the manifest says of a pair; its masks say themselves what is to be ignored."""
    told = manifest.by_name.get(pair.name)
    files = (pair.image, pair.mask)
    if told is None or files != tuple(
        source.folder / each.file for each in (told.image, told.mask)
    ):
        raise BadTrainingData(
            f"{pair.image} or its mask is not in {source.folder / MANIFEST_FILE}; take it out, or remove "
            "the manifest to train from the files as they are."
        )
    ignored = () if manifest.mask.ignore is None else (manifest.mask.ignore,)
    return replace(pair, told=told, ignore_values=ignored)


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


def _decode(path: Path, flag: int, told: FileDigest | None) -> NDArray[np.uint8]:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadTrainingData(f"Can't read {path}: {exc.strerror}.") from exc
    if told is not None:
        check_file(path, content, told)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    if decoded is None:
        raise BadTrainingData(f"{path} can't be read as an image; is it complete?")
    return np.asarray(decoded, dtype=np.uint8)
