"""Makes a folder of training data: images, masks and the manifest, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.geo.labels.labelled_chips import LabelledChip
from pavemap.geo.scratch import beside
from pavemap.training.data.manifest import (
    MANIFEST_FILE,
    NAME,
    ChipWindow,
    Example,
    FileDigest,
    Manifest,
    parse_manifest,
)
from pavemap.training.errors import BadTrainingData

Files = Iterator[tuple[str, bytes]]
"""Paths within the folder with their content, the manifest last."""

PNG = (cv2.IMWRITE_PNG_COMPRESSION, 6)

_PATH = re.compile(rf"(images|masks)/{NAME}")


@dataclass(frozen=True)
class LabelledFile:
    """An image as a file, and its mask (H, W) of CRACK, SOUND and IGNORE."""

    name: str
    suffix: str
    image: bytes
    mask: NDArray[np.uint8]
    window: ChipWindow | None = None

    @classmethod
    def of_chip(cls, chip: LabelledChip) -> LabelledFile:
        """Take a chip of a survey."""
        own = chip.window
        return cls(
            name=chip.name,
            suffix=".png",
            image=_png(chip.pixels[:, :, ::-1]),
            mask=chip.mask,
            window=ChipWindow(left=own.left, top=own.top, width_px=own.width, height_px=own.height),
        )


def packed(
    examples: Iterable[LabelledFile], *, source: Mapping[str, Any], gsd_m: float | None
) -> Files:
    """Yield the files of a set as they come, and at last its manifest.

    Raises BadTrainingData when nothing came.
    """
    told: list[Example] = []
    for example in examples:
        image, mask = f"images/{example.name}{example.suffix}", f"masks/{example.name}.png"
        content = _png(example.mask)
        told.append(
            Example(
                name=example.name,
                image=FileDigest.of(image, example.image),
                mask=FileDigest.of(mask, content),
                window=example.window,
                pixels=_counts(example.mask),
            )
        )
        yield image, example.image
        yield mask, content
    if not told:
        raise BadTrainingData("there is nothing labelled in it, so no training data was made")
    manifest = Manifest(source=dict(source), gsd_m=gsd_m, images=tuple(told))
    yield MANIFEST_FILE, manifest.text().encode()


def write_folder(files: Iterable[tuple[str, bytes]], folder: Path) -> Manifest:
    """Write a set into a folder that is not there yet, or empty; return its manifest.

    Every file is checked against the manifest. An error leaves nothing behind. Raises BadTrainingData.
    """
    with new_folder(folder) as place:
        digests: dict[str, FileDigest] = {}
        manifest: Manifest | None = None
        for name, content in files:
            if name == MANIFEST_FILE:
                manifest = parse_manifest(content, name=name)
                (place / name).write_bytes(content)
            elif _PATH.fullmatch(name) is None or name in digests:
                raise BadTrainingData(f"{name[:200]!r} is no file of a set of training data")
            else:
                (place / name).write_bytes(content)
                digests[name] = FileDigest.of(name, content)
        if manifest is None:
            raise BadTrainingData("the set came without its manifest, so not whole; try it again")
        expected = {each.file: each for one in manifest.images for each in (one.image, one.mask)}
        if expected != digests:
            raise BadTrainingData(
                "the files are not those that the manifest tells of; try it again"
            )
    return manifest


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder with `images` and `masks` that takes the place of `folder` when all went well.

    Of a link it is what the link leads to. Raises BadTrainingData when there is something already, or no
    folder to make it in.
    """
    check_target(folder)
    with beside(folder.resolve()) as scratch:
        place = scratch / "set"
        for part in ("images", "masks"):
            (place / part).mkdir(parents=True)
        yield place
        try:
            place.replace(folder.resolve())
        except OSError:
            check_target(folder)  # something was put there meanwhile
            raise


def check_target(folder: Path) -> None:
    """Raise BadTrainingData where a set's folder can't be made."""
    if folder.is_mount():
        raise BadTrainingData(
            f"{folder} is where a file system is mounted, which can't be replaced; name a folder inside it"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadTrainingData(
            f"{folder} is there already; name a folder that is not, or an empty one"
        )
    parent = folder.resolve().parent
    if not parent.is_dir():
        raise BadTrainingData(f"there is no folder {parent}; make it first")


def _counts(mask: NDArray[np.uint8]) -> dict[str, int]:
    values = {"crack": CRACK, "sound": SOUND, "ignore": IGNORE}
    return {name: int((mask == value).sum()) for name, value in values.items()}


def _png(pixels: NDArray[np.uint8]) -> bytes:
    done, content = cv2.imencode(".png", np.ascontiguousarray(pixels), PNG)
    if not done:
        raise BadTrainingData("an image could not be written as PNG")
    return content.tobytes()
