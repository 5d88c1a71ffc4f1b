"""Many files to a survey, and its layers back: several uploads at once, results page by page."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from unicodedata import normalize

from pavemap.geo.errors import BadInput, Conflict, PavemapError

if TYPE_CHECKING:
    from rich.progress import Progress

    from pavemap.platform.client.api_client import Client
    from pavemap.platform.exports.export import Export
    from pavemap.platform.exports.export_layers import LayerName

Made = TypeVar("Made")

ServedLayer = Literal["segments", "cracks"]
SERVED_LAYERS: tuple[ServedLayer, ...] = ("segments", "cracks")
"""The layers that the API gives page by page."""

SUFFIXES = frozenset({".tif", ".tiff"})
OTHER_IMAGERY = frozenset({".jpg", ".jpeg", ".png", ".jp2", ".ecw", ".sid", ".img", ".vrt", ".bmp"})
NAMED = 3
"""Files that a message names before it counts the rest."""


class _Stopped(Exception):
    """The user has stopped the command, so that the file on its way goes no further."""


@dataclass(frozen=True)
class Upload:
    """A file and the label it gets in the survey."""

    path: Path
    label: str


@dataclass
class Outcome:
    """What became of the files: answers of the server, files it had, errors by file."""

    uploaded: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


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
            others = left_out([place])
            raise BadInput(
                f"there is no GeoTIFF at {place}; name files, folders or a pattern"
                + (f" ({others})" if others else "")
            )
        found |= {each.resolve() for each in matches}
    for each in found:
        _refuse_unwritable(each.name)
    return sorted(found)


def left_out(places: Sequence[str]) -> str:
    """Say which images in folders are left out, since they are no GeoTIFFs; '' where there are none."""
    folders = [Path(place).expanduser() for place in places]
    found = {each.resolve() for folder in folders for each in _of_folder(folder, OTHER_IMAGERY)}
    if not found:
        return ""
    names = sorted(each.name for each in found)
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return (
        f"left out, as only GeoTIFFs are read: {', '.join(names[:NAMED])}{more}; to have them in, convert "
        "them (gdal_translate -of COG)"
    )


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


def labelled(paths: Sequence[Path], *, held: Container[str] = ()) -> list[Upload]:
    """Give each file its name as label; those that share one get their folder's name before it.

    Where no folder tells them apart, a digest of the path does. A file whose label with its folder is
    `held` already, by an earlier command of several folders, keeps that one.
    """
    labels = {path: normalize("NFC", path.name) for path in paths}  # as the server stores it
    parents = 0
    while len(set(labels.values())) < len(labels):
        counts = Counter(labels.values())
        parents += 1
        for path, label in labels.items():
            if counts[label] > 1 and parents < len(path.parts) - 1:
                labels[path] = f"{path.parts[-1 - parents]}_{label}"
            elif counts[label] > 1:
                labels[path] = f"{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{label}"
    kept = {path: _kept(path, label, held) for path, label in labels.items()}
    counts = Counter(kept.values())
    return [Upload(path, kept[path] if counts[kept[path]] == 1 else labels[path]) for path in paths]


def _kept(path: Path, label: str, held: Container[str]) -> str:
    folders = path.parts[1:-1]
    longer = ("_".join([*folders[-count:], path.name]) for count in range(1, len(folders) + 1))
    return label if label in held else next((one for one in longer if one in held), label)


def held_labels(survey: Mapping[str, Any]) -> dict[str, str]:
    """The digests of a survey's orthophotos by their labels."""
    return {name: each["sha256"] for each in survey["orthophotos"] for name in each["names"]}


def upload_all(
    client: Client,
    survey: dict[str, Any],
    uploads: Sequence[Upload],
    *,
    parallel: int,
    bars: Progress,
    again: bool = False,
    replace: bool = False,
) -> Outcome:
    """Send files, `parallel` at a time; one that fails does not stop the others.

    What the server has is left out, unless another of these files may take the place of it there, or it
    shall be sent `again`. A file whose label stands for another image there fails, unless it shall
    `replace` that: cameras number their files from the start each day.
    """
    from pavemap.geo.file_digest import file_digest

    stopping = threading.Event()
    there = () if again else survey["orthophotos"]
    known = {each["sha256"]: set(each["names"]) for each in there}
    held = held_labels(survey)
    labels = {each.label for each in uploads}
    outcome = Outcome()
    total = bars.add_task("All files", total=sum(each.path.stat().st_size for each in uploads))

    def send(upload: Upload) -> dict[str, Any] | None:
        size = upload.path.stat().st_size
        task = bars.add_task(upload.label, total=size, start=False)

        def on_bytes(sent: int) -> None:
            if stopping.is_set():
                raise _Stopped
            bars.update(task, completed=sent)

        try:
            sha256 = file_digest(upload.path)
            stays = known.get(sha256, set()) - (labels - {upload.label})
            former = held.get(upload.label, sha256)
            if former != sha256 and not replace:
                raise Conflict(
                    f"the survey holds another image as {upload.label}: add --replace to put this one in "
                    "its place, or name both files' folders in one command to keep both"
                )
            if stays and former == sha256:
                return None
            bars.start_task(task)
            return client.upload(
                survey["id"],
                upload.path,
                name=upload.label,
                sha256=sha256,
                on_bytes=on_bytes,
            )
        finally:
            bars.remove_task(task)
            bars.advance(total, size)

    with ThreadPoolExecutor(parallel, thread_name_prefix="upload") as pool:
        futures: dict[Future[dict[str, Any] | None], Upload] = {
            pool.submit(send, upload): upload for upload in uploads
        }
        try:
            for future in as_completed(futures):
                _record(future, futures[future], outcome)
        except KeyboardInterrupt:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    outcome.uploaded.sort(key=lambda each: str(each["name"]))
    outcome.skipped.sort()
    return outcome


@contextmanager
def unchanged(client: Client, survey_id: str) -> Iterator[None]:
    """Raise Conflict at the end of a block in which a survey was measured anew."""
    before = client.survey(survey_id)["finished_at"]
    yield
    if client.survey(survey_id)["finished_at"] != before:
        raise Conflict("the survey was measured anew meanwhile; begin again")


def again_if_changed(work: Callable[[], Made], *, attempts: int = 3) -> Made:
    """Do what reads a survey, and again where it was measured anew meanwhile. Raises the last Conflict."""
    for _ in range(attempts - 1):
        with suppress(Conflict):
            return work()
    return work()


def descriptions_of(survey: dict[str, Any]) -> dict[LayerName, str]:
    """Say, for the metadata of a survey's file, what the figures of its layers rest on."""
    pixel = f"{survey['ground_gsd_m'] * 1000:.3g} mm a pixel"
    smallest = (
        f"cracks narrower than {survey['smallest_width_mm']:.3g} mm are not told from that width"
    )
    common = f"Survey '{survey['name']}', model {survey['model']}, {pixel}: {smallest}."
    return {
        "segments": f"{common} Figures of segments that are not confident rest on too little coverage.",
        "cracks": common,
    }


def copy_layer(
    client: Client, survey_id: str, target: Export, *, layer: ServedLayer, bbox: str | None = None
) -> Iterator[int]:
    """Write a survey's layer from the server into an export, a page at a time; yield its rows so far."""
    import geopandas as gpd

    if layer == "segments":
        pages = client.segments(survey_id, bbox=bbox, sort="segment_key", order="asc")
    else:
        pages = client.cracks(survey_id, bbox=bbox)
    count = 0
    for page in pages:
        if page:
            frame = gpd.GeoDataFrame.from_features(page, crs=4326)
            if layer == "cracks":
                frame["crack_id"] = [feature["id"] for feature in page]
            target.write(layer, frame)
        count += len(page)
        yield count


def _record(future: Future[dict[str, Any] | None], upload: Upload, outcome: Outcome) -> None:
    try:
        answer = future.result()
    except (PavemapError, OSError, ValueError) as exc:
        outcome.failed[str(upload.path)] = str(exc)
    else:
        if answer is None:
            outcome.skipped.append(str(upload.path))
        else:
            outcome.uploaded.append(answer)
