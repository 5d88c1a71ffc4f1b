"""Training data on its way from a server to a folder: whole, or not there."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from pavemap.geo.errors import Unavailable
from pavemap.platform import zip_stream
from pavemap.platform.client.api_client import Client
from pavemap.platform.zip_stream import unzipped, zipped
from pavemap.training.data.pair_folder import LabelledFile, packed, write_folder


def files() -> Iterator[tuple[str, bytes]]:
    mask = np.zeros((8, 8), np.uint8)
    images = (LabelledFile(f"{n}", ".png", bytes([n]) * 5000, mask) for n in range(3))
    return packed(images, source={"kind": "test"}, gsd_m=None)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "set.zip"
    path.write_bytes(b"".join(zipped(files())))
    return path


def test_what_comes_out_is_what_went_in_and_the_same_each_time(archive: Path) -> None:
    assert list(unzipped(archive)) == list(files())
    assert b"".join(zipped(files())) == archive.read_bytes()
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None


def test_it_goes_out_piece_by_piece() -> None:
    sizes = [len(piece) for piece in zipped(files())]
    assert len(sizes) == 3 * 2 + 1 + 1
    assert max(sizes) < 6000


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_what_broke_off_is_told_and_leaves_nothing(
    archive: Path, tmp_path: Path, part: float
) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(Unavailable, match="did not come whole"):
        write_folder(unzipped(archive), tmp_path / "set")
    assert list(tmp_path.iterdir()) == [archive]


def test_damage_on_the_way_is_told(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[2000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(Unavailable, match="did not come whole"):
        write_folder(unzipped(archive), tmp_path / "set")


def test_a_file_that_unfolds_to_too_much_is_not_read(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_stream, "MAX_FILE_BYTES", 4000)
    with pytest.raises(Unavailable, match="a file of 5,000 bytes"):
        list(unzipped(archive))


def test_the_client_writes_what_comes_and_tells_what_does_not(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "good" in request.url.path:
            assert request.url.params["chip_px"] == "256"
            return httpx.Response(200, content=b"".join(zipped(files())))
        return httpx.Response(503, json={"detail": "the database is away"})

    with Client("http://server", transport=httpx.MockTransport(answer)) as client:
        client.training_data("good", tmp_path / "a.zip", chip_px=256)
        assert zipfile.is_zipfile(io.BytesIO((tmp_path / "a.zip").read_bytes()))
        with pytest.raises(Unavailable, match="the database is away"):
            client.training_data("bad", tmp_path / "b.zip", chip_px=256)
