"""Which GeoTIFFs files, folders and patterns name, and which other images they leave out."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from pavemap.geo.errors import BadInput

SUFFIXES = frozenset({".tif", ".tiff"})
OTHER_IMAGERY = frozenset({".jpg", ".jpeg", ".png", ".jp2", ".ecw", ".sid", ".img", ".vrt", ".bmp"})
NAMED = 3
"""Files that a message names before it counts the rest."""


def find_rasters(places: Sequence[str]) -> list[Path]:
    """Return the files that files, folders (searched through) and glob patterns name, sorted.

    Hidden files of a folder are left out: macOS puts a `._name.tif` beside each on other systems' disks.
    Raises BadInput for a place where there is nothing, and for names that no text can hold.
    """
    found: set[Path] = set()
    for place in places:
        path = Path(place).expanduser()
        if not place.strip():
            raise BadInput(
                "the name of a place is empty; name files, folders (. is this one) or a pattern"
            )
        if path.is_file():
            matches = {path}
        elif path.is_dir():
            matches = set(_of_folder(path, SUFFIXES))
        else:
            pattern = path.relative_to(path.anchor)
            matches = {each for each in Path(path.anchor).glob(str(pattern)) if each.is_file()}
        if not matches:
            others = other_images([place])
            raise BadInput(
                f"there is no GeoTIFF at {place}; name files, folders or a pattern"
                + (f" ({others})" if others else "")
            )
        found |= {each.resolve() for each in matches}
    for each in found:
        _refuse_unwritable(each.name)
    return sorted(found)


def other_images(places: Sequence[str]) -> str:
    """Say which images in folders are left out, since they are no GeoTIFFs; '' where there are none."""
    folders = [Path(place).expanduser() for place in places]
    found = {each.resolve() for folder in folders for each in _of_folder(folder, OTHER_IMAGERY)}
    if not found:
        return ""
    names = sorted(each.name for each in found)
    return (
        f"left out, as only GeoTIFFs are read: {_named(names)}; to have them in, convert "
        "them (gdal_translate -of COG)"
    )


def masks_beside(paths: Sequence[Path]) -> str:
    """Say which GeoTIFFs have a mask in a file of its own, which isn't read; '' where none has."""
    names = [
        path.name
        for path in paths
        if any(path.with_name(path.name + ending).is_file() for ending in (".msk", ".MSK"))
    ]
    if not names:
        return ""
    return (
        "masks in files of their own (.msk) aren't read, so what they mask counts as imaged: "
        f"{_named(names)}; put them into the GeoTIFFs (gdal_translate --config GDAL_TIFF_INTERNAL_MASK "
        "YES in.tif out.tif)"
    )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _of_folder(folder: Path, suffixes: Container[str]) -> Iterator[Path]:
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            yield path


def _refuse_unwritable(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as exc:
        shown = name.encode(errors="surrogateescape").decode(errors="replace")
        raise BadInput(
            f"the name of {shown} is no UTF-8, so that nothing can show it; rename it"
        ) from exc
