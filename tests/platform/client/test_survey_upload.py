"""Under which names an upload sends files, and what stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from pavemap.platform.client.survey_upload import upload_all, with_labels


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x/day1/t.tif", "y/day1/t.tif", "y/day2/t.tif", "u.tif")]

    labels = [upload.label for upload in with_labels(paths)]

    assert labels == ["x_day1_t.tif", "y_day1_t.tif", "day2_t.tif", "u.tif"]


def test_files_that_no_folder_tells_apart_have_names_of_their_own_all_the_same() -> None:
    paths = [Path(path) for path in ("/t/a_b/c.tif", "/t/q/c.tif", "/t/a/b_c.tif", "/t/q/b_c.tif")]
    labels = [upload.label for upload in with_labels(paths)]
    assert len(set(labels)) == 4
    assert labels == [upload.label for upload in with_labels(paths)]


def test_a_file_keeps_the_label_that_an_earlier_command_of_several_folders_gave_it() -> None:
    path = Path("/media/day1/0001.tif")
    for held, label in (
        ((), "0001.tif"),
        (("day1_0001.tif", "day2_0001.tif"), "day1_0001.tif"),
        (("media_day1_0001.tif",), "media_day1_0001.tif"),
        (("0001.tif", "day1_0001.tif"), "0001.tif"),
        (("day2_0001.tif",), "0001.tif"),
    ):
        assert [each.label for each in with_labels([path], held=held)] == [label]


def test_labels_of_one_command_stay_apart_whatever_is_held() -> None:
    paths = [Path(f"/{card}/day1/0001.tif") for card in ("a", "b")]
    labels = {each.label for each in with_labels(paths, held=("day1_0001.tif",))}
    assert labels == {"a_day1_0001.tif", "b_day1_0001.tif"}


def test_another_image_of_the_same_name_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "0001.tif").touch()
    there = [{"sha256": "0" * 64, "names": ["0001.tif"]}]
    client, files = (
        Mock(upload=Mock(return_value={"name": "0001.tif"})),
        with_labels([tmp_path / "0001.tif"]),
    )
    outcome = upload_all(client, "spring", files, there=there, parallel=1, bars=Mock())
    assert "add --replace" in outcome.failed[str(tmp_path / "0001.tif")]
    assert not client.upload.called
    upload_all(client, "spring", files, there=there, parallel=1, bars=Mock(), replace=True)
    assert client.upload.called


@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
def test_an_interruption_stops_files_on_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: type[BaseException]
) -> None:
    """Ctrl-C raises the one, SIGTERM and a closed terminal the other."""
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
        raise ends

    monkeypatch.setattr("pavemap.platform.client.survey_upload.as_completed", interrupted)
    (tmp_path / "a.tif").touch()
    files = with_labels([tmp_path / "a.tif"])
    with pytest.raises(ends):
        upload_all(Mock(upload=upload), "spring", files, there=[], parallel=1, bars=Mock())
    assert len(sent) < 100
