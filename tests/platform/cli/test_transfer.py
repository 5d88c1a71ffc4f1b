"""Which files an upload takes, and under which names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from cli_world import Cli
from pavemap.geo.errors import BadInput, Conflict
from pavemap.platform.client.transfer import (
    again_if_changed,
    find_rasters,
    labelled,
    left_out,
    unchanged,
    upload_all,
)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_folders_and_patterns_name_each_file_once(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.tif", "deep/b.TIFF", "c.tif", "d.txt")]
    touch(*files)

    assert find_rasters([str(tmp_path), str(tmp_path / "a.tif")]) == sorted(files[:3])
    assert find_rasters([f"{tmp_path}/*.tif"]) == [files[0], files[2]]
    assert find_rasters([str(files[3])]) == [files[3]]  # named outright: the server judges it


def test_a_place_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no GeoTIFF at .*\*\.tif"):
        find_rasters([f"{tmp_path}/*.tif"])


def test_imagery_of_other_kinds_in_a_folder_is_not_left_out_in_silence(tmp_path: Path) -> None:
    names = ("a.tif", "b.JPG", "deep/c.ecw", "d.vrt", "e.jp2", "._f.jpg", "b.jgw", "notes.txt")
    touch(*(tmp_path / name for name in names))

    said = left_out([str(tmp_path), str(tmp_path / "deep"), str(tmp_path / "e.jp2")])

    assert said.startswith("left out, as only GeoTIFFs are read: b.JPG, c.ecw, d.vrt and 1 more;")
    assert left_out([str(tmp_path / "a.tif"), f"{tmp_path}/*.jp2"]) == ""
    with pytest.raises(BadInput, match=r"no GeoTIFF at .*deep; name .* \(left out, .*: c\.ecw; to"):
        find_rasters([str(tmp_path / "deep")])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x/day1/t.tif", "y/day1/t.tif", "y/day2/t.tif", "u.tif")]

    labels = [upload.label for upload in labelled(paths)]

    assert labels == ["x_day1_t.tif", "y_day1_t.tif", "day2_t.tif", "u.tif"]


def test_files_that_no_folder_tells_apart_have_names_of_their_own_all_the_same() -> None:
    paths = [Path(path) for path in ("/t/a_b/c.tif", "/t/q/c.tif", "/t/a/b_c.tif", "/t/q/b_c.tif")]
    labels = [upload.label for upload in labelled(paths)]
    assert len(set(labels)) == 4
    assert labels == [upload.label for upload in labelled(paths)]


def test_hidden_files_and_nameless_places_are_no_imagery(tmp_path: Path) -> None:
    tile, beside = tmp_path / "a.tif", tmp_path / "._a.tif"  # as macOS leaves one
    for path in (tile, beside):
        touch(path)
    (tmp_path / "folder.tif").mkdir()
    assert find_rasters([str(tmp_path)]) == [tile]
    with pytest.raises(BadInput, match="is empty; name files"):
        find_rasters([""])
    touch(tmp_path / "Stra\udcdfe.tif")  # of another system's ZIP
    with pytest.raises(BadInput, match="is no UTF-8"):
        find_rasters([str(tmp_path)])


def test_a_file_keeps_the_label_that_an_earlier_command_of_several_folders_gave_it() -> None:
    path = Path("/media/day1/0001.tif")
    for held, label in (
        ((), "0001.tif"),
        (("day1_0001.tif", "day2_0001.tif"), "day1_0001.tif"),
        (("media_day1_0001.tif",), "media_day1_0001.tif"),
        (("0001.tif", "day1_0001.tif"), "0001.tif"),
        (("day2_0001.tif",), "0001.tif"),
    ):
        assert [each.label for each in labelled([path], held=held)] == [label]


def test_labels_of_one_command_stay_apart_whatever_is_held() -> None:
    paths = [Path(f"/{card}/day1/0001.tif") for card in ("a", "b")]
    labels = {each.label for each in labelled(paths, held=("day1_0001.tif",))}
    assert labels == {"a_day1_0001.tif", "b_day1_0001.tif"}


def test_another_image_of_the_same_name_is_not_replaced_unasked(tmp_path: Path) -> None:
    touch(tmp_path / "0001.tif")
    survey = {"id": "spring", "orthophotos": [{"sha256": "0" * 64, "names": ["0001.tif"]}]}
    client, files = (
        Mock(upload=Mock(return_value={"name": "0001.tif"})),
        labelled([tmp_path / "0001.tif"]),
    )
    outcome = upload_all(client, survey, files, parallel=1, bars=Mock())
    assert "add --replace" in outcome.failed[str(tmp_path / "0001.tif")]
    assert not client.upload.called
    upload_all(client, survey, files, parallel=1, bars=Mock(), replace=True)
    assert client.upload.called


def test_an_interruption_stops_files_on_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    under_way = threading.Event()

    def upload(*_: Any, on_bytes: Callable[[int], None], **__: Any) -> dict[str, Any]:
        for part in range(1000):
            on_bytes(part)
            sent.append(part)
            under_way.set()
            time.sleep(0.02)
        return {}

    def interrupted(_: Any) -> Any:
        under_way.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr("pavemap.platform.client.transfer.as_completed", interrupted)
    touch(tmp_path / "a.tif")
    survey = {"id": "spring", "orthophotos": []}
    files = labelled([tmp_path / "a.tif"])
    with pytest.raises(KeyboardInterrupt):
        upload_all(Mock(upload=upload), survey, files, parallel=1, bars=Mock())
    assert len(sent) < 100


@pytest.mark.parametrize("anew", ["Spring", "Autumn"])
def test_a_file_of_changes_holds_one_state_of_either_survey(
    anew: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A survey is measured anew between the two layers: both are read again."""
    finished = {"Spring": "8:00", "Autumn": "9:00"}
    accuracy = {
        f"{of}_{when}": 0.9 for of in ("precision", "recall") for when in ("before", "after")
    }
    read: list[str] = []

    def change(_: str, *, layer: str = "segments", **__: Any) -> Iterator[list[dict[str, Any]]]:
        read.append(layer)
        if len(read) == 2:
            finished[anew] = "9:30"
        kept = {"segment_id": 1, "segment_key": finished[anew]}
        shape = {"type": "LineString", "coordinates": [[13.0, 52.0], [13.1, 52.0]]}
        yield [{"type": "Feature", "geometry": shape, "properties": kept}]

    client = Mock(
        change=change,
        find_survey=lambda name: {"id": name, "name": name, "model": "survey-unet-fffb1082"},
        survey=lambda name: {"finished_at": finished[name]},
        change_summary=lambda *_, **__: accuracy | {"tolerance_m": 0.1, "accuracy_stated": True},
    )
    monkeypatch.setattr("pavemap.platform.cli.results.connect", lambda _: nullcontext(client))
    target = tmp_path / "change.geojson"
    Cli()("change", "Autumn", "--since", "Spring", "-o", target, "--json")

    assert read[:4] == ["segments", "cracks"] * 2
    assert "9:30" in target.read_text()


def test_what_is_measured_anew_while_it_is_read_is_read_again() -> None:
    moments = iter(["8:00", "8:05", "8:05", "8:05"])
    client = Mock(survey=lambda _: {"finished_at": next(moments)})
    read: list[int] = []

    def work() -> int:
        with unchanged(client, "spring"):
            read.append(len(read))
        return read[-1]

    assert again_if_changed(work) == 1
    changing = iter(range(9))
    client.survey = lambda _: {"finished_at": next(changing)}
    with pytest.raises(Conflict, match="measured anew"):
        again_if_changed(work)
