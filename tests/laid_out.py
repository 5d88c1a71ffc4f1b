"""Chips of training data, put back where they were cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.training.data.datasets import read_source
from pavemap.training.data.manifest import read_manifest
from pavemap.training.data_source import DataSource


def laid_out(
    folder: Path, *, transform: Affine, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (height, width, 3) and labels (height, width) of a north-up picture, of its chips alone."""
    manifest = read_manifest(folder)
    assert manifest is not None
    pixels = np.zeros((height, width, 3), np.uint8)
    labels = np.full((height, width), IGNORE, np.uint8)
    for image in read_source(DataSource(folder=folder)):
        window = manifest.by_name[image.name].window
        assert window is not None
        left, top = (round(each) for each in ~transform @ (window.left, window.top))
        mask = np.where(image.crack, CRACK, np.where(image.ignore, IGNORE, SOUND))
        rows = slice(max(top, 0), min(top + window.height_px, height))
        cols = slice(max(left, 0), min(left + window.width_px, width))
        part = (
            slice(rows.start - top, rows.stop - top),
            slice(cols.start - left, cols.stop - left),
        )
        pixels[rows, cols], labels[rows, cols] = image.pixels[part], mask[part]
    return pixels, labels
