"""Which GeoTIFFs files, folders and patterns name, and what else there is that may be imagery."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pavemap.geo.errors import BadInput

SUFFIXES = frozenset({".tif", ".tiff", ".gtif", ".gtiff", ".geotif", ".geotiff"})
OTHER_IMAGERY = frozenset({".jpg", ".jpeg", ".png", ".jp2", ".ecw", ".sid", ".img", ".vrt", ".bmp"})
ARCHIVES = frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".gz"})
NAMED = 3
"""Files that a message names before it counts the rest."""


def find_rasters(places: Sequence[str]) -> list[Path]:
    """Return the files that files, folders (searched through) and glob patterns name, sorted.

    Links to files are followed, and in folders those to folders. Hidden files of a folder are left out:
    macOS puts a `._name.tif` beside each on other systems' disks.
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
            matches = set(_of_kind(_within(path), SUFFIXES))
        else:
            matches = {each for each in _matching(path) if each.is_file()}
        if not matches:
            others = "".join(f" ({each})" for each in left_out([place]))
            raise BadInput(
                f"there is no GeoTIFF at {place}; name files, folders or a pattern{others}"
            )
        found |= {each.resolve() for each in matches}
    for each in found:
        _refuse_unwritable(each.name)
    return sorted(found)


def left_out(places: Sequence[str]) -> list[str]:
    """Say what may be imagery and is left out, a sentence for each kind.

    Of folders that is images other than GeoTIFFs, and archives; of patterns too, links to nothing.
    """
    paths = [Path(place).expanduser() for place in places]
    within = [each for path in paths if path.is_dir() for each in _within(path)]
    named = [each for path in paths if not path.exists() for each in _matching(path)]
    links = [each for each in (*within, *named) if _leads_nowhere(each) and not _hidden(each.name)]
    said = {
        "left out, as only GeoTIFFs are read: {}; to have them in, convert them (gdal_translate -of "
        "COG)": {each.resolve() for each in _of_kind(within, OTHER_IMAGERY)},
        "left out, as archives aren't looked into: {}; if there is imagery in them, unpack it": {
            each.resolve() for each in _of_kind(within, ARCHIVES)
        },
        "left out, as they are links to what isn't there: {}; mend them, or mount the disk that they "
        "lead to": {each.parent.resolve() / each.name for each in links},
    }
    return [
        sentence.format(_named(sorted(each.name for each in files)))
        for sentence, files in said.items()
        if files
    ]


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


def _of_kind(paths: Iterable[Path], suffixes: frozenset[str]) -> Iterator[Path]:
    return (each for each in paths if each.suffix.lower() in suffixes and each.is_file())


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _matching(pattern: Path) -> Iterator[Path]:
    """Yield what a pattern names, a link to nothing too."""
    if _leads_nowhere(pattern):
        yield pattern
    yield from Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))


def _within(folder: Path) -> Iterator[Path]:
    """Yield the files and links to nothing that lie in a folder, however deep, but for hidden files.

    Links to folders are followed, but for those to a folder that they lie in; each folder is read once.
    """
    been: set[Path] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        if here in been:
            folders.clear()
            continue
        been.add(here)
        folders[:] = [name for name in folders if (here / name).resolve() not in here.parents]
        yield from (Path(place, name) for name in files if not _hidden(name))


def _refuse_unwritable(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as exc:
        shown = name.encode(errors="surrogateescape").decode(errors="replace")
        raise BadInput(
            f"the name of {shown} is no UTF-8, so that nothing can show it; rename it"
        ) from exc
