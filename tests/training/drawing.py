"""Drawn pavement with drawn cracks: labelled images whose truth is known exactly."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.augmentation import Augmentation
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.sampling.crops import CropSampler


def draw_image(
    seed: int, *, height: int = 96, width: int = 128, channels: int = 3
) -> LabelledImage:
    """Grey noise crossed by dark, slightly bent lines 3 pixels wide."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(150, 12, (height, width, channels))
    crack = np.zeros((height, width), np.uint8)
    for _ in range(2):
        xs = np.linspace(0, width - 1, 6)
        ys = np.clip(rng.uniform(0.2, 0.8) * height + rng.normal(0, 6, 6).cumsum(), 2, height - 3)
        line = np.stack([xs, ys], 1).round().astype(np.int32)
        cv2.polylines(crack, [line], False, 255, 3)
    pixels[crack > 0] = rng.normal(60, 10, (int((crack > 0).sum()), channels))
    return LabelledImage(
        name=f"{seed:03d}",
        pixels=np.clip(pixels, 0, 255).astype(np.uint8),
        crack=crack > 0,
        ignore=np.zeros(crack.shape, dtype=bool),
    )


def shares_changed(setting: str, part: str, *, side_px: int) -> list[float]:
    """Of 100 crops, how many a setting of 0.3 and of 1 changes: their `pixels`, or their `labels`."""
    image = draw_image(0, height=side_px, width=side_px)

    def crops(share: float) -> NDArray[np.generic]:
        change = Augmentation.model_validate({setting: share})
        sampler = CropSampler([[image]], weights=[1], crop_px=64, augmentation=change, seed=3)
        found: NDArray[np.generic] = getattr(sampler.batch(0, size=100, first=0, last=100), part)
        return found.reshape(100, -1)

    plain = crops(0)
    return [float((crops(share) != plain).any(1).mean()) for share in (0.3, 1)]


def write_set(folder: Path, *, count: int = 4, inverted: bool = False) -> Path:
    """A data set folder of drawn images, with lists `train` (all but the last) and `test`."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    names = []
    for seed in range(count):
        image = draw_image(seed)
        names.append(image.name)
        write_png(folder / "images" / f"{image.name}.png", image.pixels[:, :, ::-1])
        mask = np.where(image.crack ^ inverted, 255, 0).astype(np.uint8)
        write_png(folder / "masks" / f"{image.name}.png", mask)
    (folder / "train.txt").write_text("\n".join(names[:-1]) + "\n")
    (folder / "test.txt").write_text(names[-1] + "\n")
    return folder


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image; OpenCV's order of colours is BGR."""
    assert cv2.imwrite(str(path), np.ascontiguousarray(pixels))


def write_indexed_png(path: Path, indices: NDArray[np.uint8], *colours: tuple[int, ...]) -> None:
    """Write an image with a palette of RGB colours, which OpenCV can read only."""
    height, width = indices.shape
    rows = np.column_stack([np.zeros(height, np.uint8), indices])  # no filter
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0),
        b"PLTE": bytes(value for colour in colours for value in colour),
        b"IDAT": zlib.compress(rows.tobytes()),
        b"IEND": b"",
    }
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in parts.items())
    )


def png_chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG: its length, its name, its data and their CRC."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def turned_file(suffix: str, pixels: NDArray[np.uint8], *, way: int = 6) -> bytes:
    """A JPEG or PNG with an EXIF tag that says which way the camera was held: 6 is on its side."""
    done, encoded = cv2.imencode(suffix, pixels)
    assert done
    plain = encoded.tobytes()
    # One entry: tag 0x0112 (orientation), a SHORT, once.
    tiff = struct.pack("<2sHI HHHIHH I", b"II", 42, 8, 1, 0x0112, 3, 1, way, 0, 0)
    if suffix == ".png":
        header = 8 + 25
        return plain[:header] + png_chunk(b"eXIf", tiff) + plain[header:]
    exif = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    return plain[:2] + segment + plain[2:]


def mask_of(*rows: str) -> NDArray[np.bool_]:
    """A mask drawn in text: '#' is crack."""
    return np.array([[sign == "#" for sign in row] for row in rows])
