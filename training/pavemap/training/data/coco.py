"""Makes training data of COCO labels: outlines and run-length masks become one mask an image.

The file is other people's: no `file_name` leads out of the image folder, an image is looked at before it
is decoded, and memory is bounded by the labels and one image.

Source: "COCO, data format" (cocodataset.org).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import orjson

from pavemap.geo.file_digest import file_digest
from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.training.data.coco_masks import Json, boxed, painted
from pavemap.training.data.datasets import IMAGE_SUFFIXES
from pavemap.training.data.image_files import (
    MAX_IMAGE_PX,
    check_8_bits,
    image_bytes,
    unreadable,
    upright,
)
from pavemap.training.data.pair_folder import Files, LabelledFile, packed
from pavemap.training.errors import BadTrainingData

MAX_LABELS_BYTES = 256 << 20
"""Parsed JSON takes several times its text in memory."""


@dataclass(frozen=True)
class _Image:
    """An image as the labels tell of it."""

    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class _Labels:
    """Images by id; what is crack and what is not known, by image."""

    images: dict[int, _Image]
    cracks: dict[int, list[Json]]
    unknown: dict[int, list[Json]]
    categories: list[str]


def coco_files(
    labels: Path,
    images: Path,
    *,
    categories: Sequence[str] = (),
    ignored: Sequence[str] = (),
    gsd_m: float | None = None,
) -> Files:
    """Yield the files of a set made of COCO labels and the folder of their images, the manifest last.

    `categories` are crack; without them the only one, or those with "crack" in their name. What is of
    `ignored` ones, or has a box but no outline, is taught neither as crack nor as sound; all else is
    sound, images without any label too. Raises BadTrainingData.
    """
    content = _read_labels(labels)
    known = _parsed(content, labels.name, categories, ignored)
    if not images.is_dir():
        raise BadTrainingData(f"there is no folder {images}; name that of the images")
    source = {
        "kind": "coco",
        "labels": {"name": labels.name, "sha256": file_digest(labels)},
        "categories": known.categories,
    }
    return packed(_labelled(known, images.resolve()), source=source, gsd_m=gsd_m)


def _labelled(known: _Labels, folder: Path) -> Iterator[LabelledFile]:
    taken: dict[str, int] = {}
    seen: set[Path] = set()
    for number, image in sorted(
        known.images.items(), key=lambda item: (item[1].file_name, item[0])
    ):
        path = _path_of(image.file_name, folder)
        if path.resolve() in seen:
            raise BadTrainingData(
                f"the labels have {path} twice, under two ids: one's cracks would be sound in the other; "
                "export them again with one id for each file"
            )
        seen.add(path.resolve())
        content = _checked_image(path, image)
        cracks, unknown = known.cracks[number], known.unknown[number]
        boxes = [each for each in [*cracks, *unknown] if not each.get("segmentation")]
        shape = (image.height, image.width)
        mask = np.full(shape, SOUND, np.uint8)
        mask[painted(unknown, shape) | boxed(boxes, shape)] = IGNORE
        mask[painted(cracks, shape)] = CRACK
        name = _free_name(image.file_name, taken)
        yield LabelledFile(name, path.suffix.lower(), content, mask)


def _read_labels(path: Path) -> Json:
    try:
        if path.stat().st_size > MAX_LABELS_BYTES:
            raise BadTrainingData(
                f"{path} has over {MAX_LABELS_BYTES >> 20} MiB; split the labels by images"
            )
        content = orjson.loads(path.read_bytes())
    except OSError as exc:
        raise BadTrainingData(f"can't read {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise BadTrainingData(f"{path} is no JSON ({exc}); export the labels again") from exc
    if not isinstance(content, dict):
        raise BadTrainingData(f"{path} holds no COCO labels; export them as 'COCO'")
    return content


def _parsed(content: Json, name: str, categories: Sequence[str], ignored: Sequence[str]) -> _Labels:
    images: dict[int, _Image] = {}
    for number, each in enumerate(_list(content, "images", name), 1):
        key, image = _image(each, number)
        if key in images:
            raise BadTrainingData(f"two images of {name} have the id {key}; export it again")
        images[key] = image
    kinds = _kinds(_list(content, "categories", name), name)
    chosen = _chosen(kinds, categories)
    skipped = {key for key, kind in kinds.items() if kind in _known(kinds, ignored)}
    cracks: dict[int, list[Json]] = defaultdict(list)
    unknown: dict[int, list[Json]] = defaultdict(list)
    for number, each in enumerate(_list(content, "annotations", name), 1):
        image_id, kind = each.get("image_id"), each.get("category_id")
        named = isinstance(image_id, int) and isinstance(kind, int)
        if not named or image_id not in images or kind not in kinds:
            raise BadTrainingData(
                f"annotation #{number} is of an image or a category that {name} doesn't have"
            )
        labelled = {"number": number, **each}
        if kind in chosen:
            cracks[image_id].append(labelled)
        elif kind in skipped:
            unknown[image_id].append(labelled)
    return _Labels(images, cracks, unknown, sorted(kinds[key] for key in chosen))


def _kinds(categories: list[Json], name: str) -> dict[int, str]:
    kinds = {}
    for each in categories:
        if not isinstance(each.get("id"), int) or not isinstance(each.get("name"), str):
            raise BadTrainingData(f"a category of {name} has no id or no name; export it again")
        kinds[each["id"]] = each["name"]
    return kinds


def _list(content: Json, name: str, file: str) -> list[Json]:
    found = content.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadTrainingData(f"{file} has no list of '{name}'; export the labels as 'COCO'")
    return found


def _image(each: Json, number: int) -> tuple[int, _Image]:
    key, name = each.get("id"), each.get("file_name")
    width, height = each.get("width"), each.get("height")
    sizes = isinstance(width, int) and isinstance(height, int)
    if not (isinstance(key, int) and isinstance(name, str) and name and sizes):
        raise BadTrainingData(
            f"image #{number} needs an id, a file_name, a width and a height; export the labels again"
        )
    assert isinstance(width, int)
    assert isinstance(height, int)
    if width < 1 or height < 1 or width * height > MAX_IMAGE_PX:
        raise BadTrainingData(
            f"image #{number} has {width} x {height} pixels; cut it into parts of at most "
            f"{MAX_IMAGE_PX // 1_000_000} million"
        )
    return key, _Image(name, width, height)


def _chosen(kinds: dict[int, str], wanted: Sequence[str]) -> set[int]:
    if wanted:
        names = _known(kinds, wanted)
    elif len(kinds) == 1:
        names = set(kinds.values())
    else:
        names = {name for name in kinds.values() if "crack" in name.lower()}
    if not names:
        listed = ", ".join(sorted(kinds.values()))[:500] or "none"
        raise BadTrainingData(
            f"no category is called crack; name those that are; there are {listed}"
        )
    return {key for key, name in kinds.items() if name in names}


def _known(kinds: dict[int, str], wanted: Iterable[str]) -> set[str]:
    missing = [name for name in wanted if name not in kinds.values()]
    if missing:
        listed = ", ".join(sorted(kinds.values()))[:500] or "none"
        raise BadTrainingData(f"there is no category '{missing[0]}'; there are {listed}")
    return set(wanted)


def _path_of(file_name: str, folder: Path) -> Path:
    """Return where an image lies: in the folder, whatever its name and links in the folder say."""
    name = PurePosixPath(file_name.replace("\\", "/"))
    outside = name.is_absolute() or ".." in name.parts or "\x00" in file_name
    path = folder / name
    if outside or not path.resolve().is_relative_to(folder):
        raise BadTrainingData(
            f"the labels name {file_name[:200]!r}, which is outside the folder of images; images are "
            "read from that folder only"
        )
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise BadTrainingData(
            f"{path} is of no format read here ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    if not path.is_file():
        raise BadTrainingData(f"the image {path} is missing; name the folder that has it")
    return path


def _checked_image(path: Path, image: _Image) -> bytes:
    """Return an image's bytes, once its size is known to be what the labels say, and not too large."""
    content = image_bytes(path)
    header = upright(path, content)
    check_8_bits(path, header)
    if (header.width, header.height) != (image.width, image.height):
        raise BadTrainingData(
            f"{path} has {header.width} x {header.height} pixels, but the labels say {image.width} x "
            f"{image.height}"
        )
    if cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) is None:
        raise unreadable(path)
    return content


def _free_name(file_name: str, taken: dict[str, int]) -> str:
    """Return a name for a file, without folders, that no other image has.

    `taken` are the names given, in lower case, each with the last number that was put after it: where
    thousands of names are one, such as those without a letter of ASCII, none is tried twice.
    """
    stem = str(PurePosixPath(file_name.replace("\\", "/")).with_suffix(""))
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip("._")[:180] or "image"
    name, more = plain, taken.get(plain.lower(), 1)
    while name.lower() in taken:
        more += 1
        name = f"{plain}-{more}"
    taken[plain.lower()] = more
    taken.setdefault(name.lower(), 1)
    return name
