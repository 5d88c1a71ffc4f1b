"""The imagery that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pavemap.platform.cli.console import note


def rasters_at(places: Sequence[str]) -> list[Path]:
    """Return the GeoTIFFs at places (`find_rasters`), saying which other images are left out.

    Raises BadInput.
    """
    from pavemap.platform.client.transfer import find_rasters, left_out

    paths = find_rasters(places)
    if unread := left_out(places):
        note(f"Warning: {unread}")
    return paths
