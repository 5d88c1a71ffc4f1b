"""GeoPackages and Shapefiles: GDAL reads them, with the one driver that is theirs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyogrio

from pavemap.geo.errors import BadInput
from pavemap.geo.vector_files.raw import (
    FORMATS,
    RawLines,
    Shapes,
    Wanted,
    from_frame,
    refuse_too_many,
)

_TYPES: dict[Shapes, tuple[str, ...]] = {
    "line": ("LineString", "Curve"),
    "polygon": ("Polygon", "Surface"),
    "line or polygon": ("LineString", "Curve", "Polygon", "Surface"),
}
"""Parts of the names that GDAL gives to such layers."""


def read_ogr(path: Path, wanted: Wanted, *, driver: str, encoding: str | None = None) -> RawLines:
    """Read one layer of a file that no other driver may open, texts in its own encoding or the given.

    Raises BadInput.
    """
    with _quiet_about_measures():
        layer = _only_layer(path, wanted)
        info = pyogrio.read_info(path, layer=layer, encoding=encoding, force_feature_count=True)
        if info["driver"] != driver:
            raise BadInput(f"the file is no {driver} inside; send {FORMATS}")
        refuse_too_many(info["features"], wanted.max_features)
        columns = wanted.of(info["fields"])
        options: dict[str, Any] = {
            "layer": layer,
            "columns": list(columns),
            "max_features": wanted.max_features + 1,
            "on_invalid": "ignore",
            "encoding": encoding,
        }
        try:
            frame = pyogrio.read_dataframe(path, use_arrow=True, **options)
        except NotImplementedError:
            # Arcs come as chords through the other path only (which drops M, as arcs have none).
            frame = pyogrio.read_dataframe(path, use_arrow=False, **options)
    return from_frame(frame, columns, wanted.file)


def _only_layer(path: Path, wanted: Wanted) -> str:
    """Return the asked layer, or the only one that may hold the shapes that are wanted."""
    layer = wanted.layer
    layers = [(str(name), kind) for name, kind in pyogrio.list_layers(path) if kind is not None]
    names = [name for name, _ in layers]
    if layer is not None:
        if layer not in names:
            raise BadInput(f"there is no layer '{layer}'; the file has: {', '.join(names[:20])}")
        return layer
    types = _TYPES[wanted.shapes]
    fitting = [name for name, kind in layers if any(part in kind for part in types)]
    candidates = fitting or [name for name, kind in layers if kind in ("Unknown", "Geometry")]
    if len(names) == 1:
        return names[0]  # whoever asked says what was wanted of it instead
    if len(candidates) != 1:
        found = ", ".join(candidates or names)[:500] or "none"
        raise BadInput(f"name the layer that holds the {wanted.what}; the file has: {found}")
    return candidates[0]


@contextmanager
def _quiet_about_measures() -> Iterator[None]:
    """Silence GDAL's remarks on a file's oddities: pyogrio announces that M is dropped, and keeps it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
