"""The imagery that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pavemap.platform.cli.console import note


def rasters_at(places: Sequence[str]) -> list[Path]:
    """Return the GeoTIFFs at places (`find_rasters`), saying which images and masks are left out.

    Raises BadInput.
    """
    from pavemap.platform.raster_paths import find_rasters, other_images

    paths = find_rasters(places)
    if unread := other_images(places):
        note(f"Warning: {unread}")
    warn_of_masks_beside(paths)
    return paths


def warn_of_masks_beside(paths: Sequence[Path]) -> None:
    """Say so where masks lie in files of their own (`masks_beside`)."""
    from pavemap.platform.raster_paths import masks_beside

    if unread := masks_beside(paths):
        note(f"Warning: {unread}")
