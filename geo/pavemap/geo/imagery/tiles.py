"""Checks the GeoTIFFs of a delivery, all of them before any is refused: one round mends them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pavemap.geo.errors import BadInput
from pavemap.geo.imagery.orthophoto import Orthophoto
from pavemap.geo.imagery.raster import inspect

NAMED = 10
"""Reasons that a message lists, and files that it names for each, before it counts the rest."""


def inspect_tiles(paths: Sequence[Path]) -> list[Orthophoto]:
    """Check local GeoTIFFs and describe them; see `inspect`.

    Raises what `inspect` does where one file is bad, naming it by its path, and a BadInput that lists
    them where several are.
    """
    photos: list[Orthophoto] = []
    refused: dict[Path, BadInput] = {}
    for path in paths:
        try:
            photos.append(replace(inspect(path, name=str(path)), name=path.name))
        except BadInput as exc:
            refused[path] = exc
    if len(refused) == 1:
        raise next(iter(refused.values()))
    if refused:
        raise BadInput(_listed(refused, of=len(paths)))
    return photos


def _listed(refused: Mapping[Path, BadInput], *, of: int) -> str:
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, error in refused.items():
        by_reason[str(error).replace(str(path), "each")].append(path)
    lines = [
        f"{_named(paths)}: {reason}" if len(paths) > 1 else str(refused[paths[0]])
        for reason, paths in list(by_reason.items())[:NAMED]
    ]
    if rest := sum(map(len, list(by_reason.values())[NAMED:])):
        lines.append(f"and {rest:,} more")
    return "\n  ".join([f"{len(refused):,} of {of:,} files can't be used:", *lines])


def _named(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return ", ".join(map(str, paths[:NAMED])) + more
