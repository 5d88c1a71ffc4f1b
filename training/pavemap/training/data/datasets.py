"""Labelled images from folders: which files belong together, and what their masks mean."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.geo.file_digest import file_digest
from pavemap.training.data.image_files import (
    check_8_bits,
    image_bytes,
    unreadable,
    upright,
)
from pavemap.training.data.manifest import (
    MANIFEST_FILE,
    Example,
    FileDigest,
    Manifest,
    check_all_files,
    check_file,
    read_manifest,
)
from pavemap.training.data.masks import Values, advice, crack_of, stored_values, values_for
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData

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
        raise BadTrainingData(f"{source.label}: no image to use in {source.folder}")
    for folder, there in (("images", images), ("masks", masks)):
        missing = [name for name in names if name not in there]
        if missing:
            raise BadTrainingData(
                f"{source.folder / folder} lacks {len(missing)} of {len(names)} files, "
                f"the first is {missing[0]}; every image needs a mask of the same name"
            )
        twice = next((name for name in names if len(there[name]) > 1), None)
        if twice is not None:
            same = " and ".join(path.name for path in there[twice])
            raise BadTrainingData(f"{source.folder / folder} has {same}; keep one of each name")
    pairs = [Pair(name, images[name][0], masks[name][0]) for name in names]
    return pairs if manifest is None else [_told(pair, source, manifest) for pair in pairs]


def read_pair(pair: Pair, source: DataSource, *, channels: int = 3) -> LabelledImage:
    """Read one image with its mask; `channels` is 3 (RGB) or 1 (grey).

    Where an image is transparent nothing is known. Raises BadTrainingData when a file can't be decoded, is
    to be turned for show, is not the one its manifest tells of, the sizes differ, or the image has more
    than 8 bits.
    """
    pixels, unseen = _pixels(pair, channels)
    mask = _mask(pair, source)
    if mask.shape != pixels.shape[:2]:
        raise BadTrainingData(
            f"{pair.mask} is {mask.shape[1]}x{mask.shape[0]} pixels but its image is "
            f"{pixels.shape[1]}x{pixels.shape[0]}; they must match"
        )
    ignore = np.isin(mask, _ignored(pair, source))
    if unseen is not None:
        ignore |= unseen
    return LabelledImage(
        name=pair.name,
        pixels=np.ascontiguousarray(pixels),
        crack=crack_of(mask, source) & ~ignore,
        ignore=ignore,
    )


def read_source(source: DataSource, *, channels: int = 3) -> list[LabelledImage]:
    """Every labelled image of a source."""
    return [read_pair(pair, source, channels=channels) for pair in list_pairs(source)]


def fingerprint(sources: Iterable[DataSource]) -> str:
    """SHA-256 of what sets are made of: names and contents of their files, codings of masks.

    Where a set lies is no part of it, nor how often it is drawn from, nor whether the source or the
    manifest says what is to be ignored. Contents that a manifest tells of are not read again.
    """
    found = sha256()
    for source in sources:
        pairs = list_pairs(source)
        coding = source.model_dump(mode="json", include=CODING)
        coding["ignore_values"] = list(_ignored(pairs[0], source))
        found.update(json.dumps(coding, sort_keys=True).encode())
        for pair in pairs:
            told = pair.told
            files = (
                [file_digest(pair.image), file_digest(pair.mask)]
                if told is None
                else [told.image.sha256, told.mask.sha256]
            )
            found.update(json.dumps([pair.name, files]).encode())
    return found.hexdigest()


def check_sources(sources: Iterable[DataSource]) -> int:
    """Check that sources are complete before anything starts; the number of images.

    Reads one pair of each source, so that an unreadable or mismatched set is found at once; of a set
    with a manifest every file is checked. Raises BadTrainingData, also where masks hold values of which
    none means crack.
    """
    total = 0
    for source in sources:
        pairs = list_pairs(source)
        manifest = read_manifest(source.folder)
        if manifest is not None:
            check_all_files(source.folder, manifest)
        read_pair(pairs[0], source)
        if manifest is None:
            check_cracks(pairs, source)
        total += len(pairs)
    return total


def shows_cracks(source: DataSource) -> bool:
    """Whether any pixel of a set is crack; masks are read until one has some."""
    return any(
        (crack_of(mask, source) & ~np.isin(mask, _ignored(pair, source))).any()
        for pair in list_pairs(source)
        for mask in [_mask(pair, source)]
    )


def check_cracks(pairs: Iterable[Pair], source: DataSource) -> None:
    """Raise BadTrainingData where no pixel is crack, though masks hold values that don't mean sound.

    Masks are read until one has a crack. A set of masks that are sound altogether says what it means.
    """
    held: set[float] = set()
    for pair in pairs:
        if crack_of(_mask(pair, source), source).any():
            return
        stored = stored_values(_content(pair.mask, None))
        held.update(np.unique(stored).tolist() if stored is not None else ())
    if held - {255 if source.inverted else 0} - set(source.ignore_values):
        raise BadTrainingData(advice(held, source))


def _ignored(pair: Pair, source: DataSource) -> tuple[int, ...]:
    """The values of a pair's mask that teach nothing: the source's, else those its manifest names."""
    return source.ignore_values or pair.ignore_values


def _told(pair: Pair, source: DataSource, manifest: Manifest) -> Pair:
    """Add what the manifest says of a pair; its masks say themselves what is to be ignored."""
    told = manifest.by_name.get(pair.name)
    files = (pair.image, pair.mask)
    if told is None or files != tuple(
        source.folder / each.file for each in (told.image, told.mask)
    ):
        raise BadTrainingData(
            f"{pair.image} or its mask is not in {source.folder / MANIFEST_FILE}; take it out, or remove "
            "the manifest to train from the files as they are"
        )
    ignored = () if manifest.mask.ignore is None else (manifest.mask.ignore,)
    return replace(pair, told=told, ignore_values=ignored)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise BadTrainingData(
            f"the folder {folder} is missing; a data set is a folder with images/ and masks/"
        )
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found[path.stem].append(path)
    return dict(found)


def _read_list(folder: Path, name: str) -> list[str]:
    path = folder / (name if name.endswith(".txt") else f"{name}.txt")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as exc:
        raise BadTrainingData(f"can't read the list file {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise BadTrainingData(f"{path} is no text in UTF-8 ({exc}); save it as such") from exc
    names = [Path(line.strip()).name for line in lines if line.strip()]
    stems = [
        Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name for name in names
    ]
    if not stems:
        raise BadTrainingData(f"the list file {path} names no image")
    return list(dict.fromkeys(stems))  # named twice, it is one image


def _pixels(pair: Pair, channels: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """The image (H, W, channels), and where it is transparent (H, W), if it may be."""
    content = _content(pair.image, pair.told.image if pair.told else None)
    header = upright(pair.image, content)
    check_8_bits(pair.image, header)
    pixels = _decoded(content, cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE, pair)
    unseen = None
    if header.has_alpha:
        unseen = _decoded(content, cv2.IMREAD_UNCHANGED, pair)[:, :, -1] == 0
    return (pixels[:, :, ::-1] if channels == 3 else pixels[:, :, None]), unseen


def _decoded(content: bytes, flag: int, pair: Pair) -> NDArray[np.uint8]:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    if decoded is None:
        raise unreadable(pair.image)
    return np.asarray(decoded, dtype=np.uint8)


def _mask(pair: Pair, source: DataSource) -> Values:
    """The values (H, W) by which the source tells crack."""
    content = _content(pair.mask, pair.told.mask if pair.told else None)
    upright(pair.mask, content)
    mask = values_for(content, source)
    if mask is None:
        raise unreadable(pair.mask)
    return mask


def _content(path: Path, told: FileDigest | None) -> bytes:
    content = image_bytes(path)
    if told is not None:
        check_file(path, content, told)
    return content
