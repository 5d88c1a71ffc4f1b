"""What a folder of training data says of itself: where each image comes from, and a digest of each file.

`manifest.json` lies beside `images/` and `masks/`. It makes a set reproducible (the same reviews and the
same imagery give the same bytes), and training from it certain: files are checked as they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.training.errors import BadTrainingData

MANIFEST_FILE = "manifest.json"
Format = Literal["pavemap training data 1"]
FORMAT: Format = "pavemap training data 1"

NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"
"""Of an image: no folder, no leading dot, nothing a file system could take for something else."""

_STRICT = ConfigDict(extra="forbid", frozen=True)


class FileDigest(BaseModel):
    """A file of the set, and the SHA-256 of its bytes."""

    model_config = _STRICT

    file: str = Field(pattern=rf"^(images|masks)/{NAME}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def of(cls, file: str, content: bytes) -> FileDigest:
        """Describe a file by its bytes."""
        return cls(file=file, sha256=hashlib.sha256(content).hexdigest())


class ChipWindow(BaseModel):
    """Where an image lies: upper left corner in metres of the source's CRS, north up."""

    model_config = _STRICT

    left: float
    top: float
    width_px: int
    height_px: int


class Example(BaseModel):
    """An image with its mask, and how many pixels have which label."""

    model_config = _STRICT

    name: str = Field(pattern=rf"^{NAME}$")
    image: FileDigest
    mask: FileDigest
    window: ChipWindow | None = None
    pixels: dict[str, int]


class MaskValues(BaseModel):
    """What the pixels of masks mean."""

    model_config = _STRICT

    crack: int = Field(default=CRACK, ge=128, le=255)
    sound: int = Field(default=SOUND, ge=0, le=127)
    ignore: int | None = Field(default=IGNORE, ge=0, le=255)


class Manifest(BaseModel):
    """A whole set. `source` says what it was made of; `gsd_m` is the pixel in metres, where known."""

    model_config = _STRICT

    format: Format = FORMAT
    source: dict[str, Any]
    gsd_m: float | None = None
    mask: MaskValues = MaskValues()
    images: tuple[Example, ...] = Field(min_length=1)

    @cached_property
    def by_name(self) -> Mapping[str, Example]:
        """Return the examples by name."""
        return {example.name: example for example in self.images}

    def pixels(self) -> dict[str, int]:
        """Return how many pixels of the set have which label."""
        return {
            label: sum(example.pixels.get(label, 0) for example in self.images)
            for label in ("crack", "sound", "ignore")
        }

    def text(self) -> str:
        """Return what is written: the same manifest is the same bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def parse_manifest(text: str | bytes, *, name: str) -> Manifest:
    """Return a manifest from its text. Raises BadTrainingData, which calls it `name`."""
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadTrainingData(
            f"{name} is no manifest of pavemap's training data ({where}: {first['msg']}); export or "
            "import the set again, or remove the manifest to train from the files as they are"
        ) from exc


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a set, None where it has none. Raises BadTrainingData for a broken one."""
    path = folder / MANIFEST_FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise BadTrainingData(f"can't read {path}: {exc.strerror}") from exc
    return parse_manifest(text, name=str(path))


def check_file(path: Path, content: bytes, expected: FileDigest) -> None:
    """Raise BadTrainingData where bytes are not those that the manifest tells of."""
    if hashlib.sha256(content).hexdigest() != expected.sha256:
        raise BadTrainingData(
            f"{path} is not the file that {MANIFEST_FILE} tells of (its SHA-256 differs); it was changed "
            "or damaged since; export or import the set again, or remove the manifest to train from the "
            "files as they are"
        )


def check_all_files(folder: Path, manifest: Manifest) -> None:
    """Read every file of a set and check it. Raises BadTrainingData."""
    for example in manifest.images:
        for expected in (example.image, example.mask):
            path = folder / expected.file
            try:
                content = path.read_bytes()
            except OSError as exc:
                raise BadTrainingData(
                    f"{path}, which {MANIFEST_FILE} tells of, can't be read: {exc.strerror}"
                ) from exc
            check_file(path, content, expected)
