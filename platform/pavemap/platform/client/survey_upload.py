"""Many files to a survey: several uploads at once, each under a label of its own."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from pavemap.geo.errors import Conflict, PavemapError

if TYPE_CHECKING:
    from rich.progress import Progress

    from pavemap.platform.client.api_client import Client


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


def with_labels(paths: Sequence[Path], *, held: Container[str] = ()) -> list[Upload]:
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


def held_labels(there: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The digests of a survey's orthophotos by their labels."""
    return {name: each["sha256"] for each in there for name in each["names"]}


def upload_all(
    client: Client,
    survey_id: str,
    uploads: Sequence[Upload],
    *,
    there: Sequence[Mapping[str, Any]],
    parallel: int,
    bars: Progress,
    again: bool = False,
    replace: bool = False,
) -> Outcome:
    """Send files, `parallel` at a time; one that fails does not stop the others.

    What is `there`, of the survey's orthophotos, is left out, unless another of these files may take the
    place of it, or it shall be sent `again`. A file whose label stands for another image there fails,
    unless it shall `replace` that: cameras number their files from the start each day.
    """
    from pavemap.geo.file_digest import file_digest

    stopping = threading.Event()
    known = {} if again else {each["sha256"]: set(each["names"]) for each in there}
    held = held_labels(there)
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
                survey_id,
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
        except BaseException:  # Ctrl-C, and what SIGTERM and SIGHUP raise
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    outcome.uploaded.sort(key=lambda each: str(each["name"]))
    outcome.skipped.sort()
    return outcome


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
