"""While the storage's disk is away nothing is taken and nothing removed; when it is back all goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api_world import World, tile
from pavemap.geo.storage import Storage
from pavemap.platform import orthophoto_import
from pavemap.platform.settings import Settings
from pavemap.platform.stored_imagery import check_storage


@contextmanager
def away(settings: Settings, *, mount_point: bool) -> Iterator[Path]:
    """Take the storage's folder away, as a disk that is not mounted; yield what is in its place."""
    folder = Path(settings.storage_location)
    disk = folder.rename(folder.with_name("disk"))
    if mount_point:
        folder.mkdir()
    yield folder
    if folder.exists():
        folder.rename(folder.with_name("beneath"))
    disk.rename(folder)


def imagery(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tif"))


@pytest.mark.parametrize("mount_point", [True, False])
def test_an_upload_is_refused_and_does_not_make_the_wrong_place_right(
    world: World, settings: Settings, mount_point: bool
) -> None:
    content = tile(world.folder, seed=1)
    assert world.put("first.tif", tile(world.folder)).status_code == 201
    with away(settings, mount_point=mount_point) as place:
        for _ in range(2):
            answer = world.put("second.tif", content)
            assert (answer.status_code, "mounted" in answer.json()["detail"]) == (503, True)
            assert int(answer.headers["retry-after"]) > 0
            assert world.client.get("/readyz").status_code == 503
        assert not [path for path in place.rglob("*") if path.is_file()]
    assert [each["name"] for each in world.orthophotos()] == ["first.tif"]
    assert world.client.get("/readyz").status_code == 200
    assert world.put("second.tif", content).status_code == 201
    assert len(imagery(Path(settings.storage_location))) == 2


def test_an_upload_finds_the_storage_gone_when_it_has_been_checked(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when the upload began, and then the folder is another."""
    mounted = Path(settings.storage_location) / "orthophotos"

    def unmount(*_: object) -> None:
        mounted.rename(world.folder / "away")
        mounted.mkdir()

    with monkeypatch.context() as patch:
        patch.setattr(orthophoto_import, "_require_overlap", unmount)
        assert world.put("tile.tif", tile(world.folder)).status_code == 503
    assert world.orthophotos() == []
    assert imagery(mounted) == []
    mounted.rmdir()
    (world.folder / "away").rename(mounted)
    assert world.put("tile.tif", tile(world.folder)).status_code == 201


@pytest.mark.parametrize("mount_point", [True, False])
def test_an_orthophoto_is_not_removed(world: World, settings: Settings, mount_point: bool) -> None:
    assert world.put("tile.tif", tile(world.folder)).status_code == 201
    url = f"{world.survey_url}/orthophotos/tile.tif"
    with away(settings, mount_point=mount_point):
        assert world.client.delete(url).status_code == 503
    assert [each["name"] for each in world.orthophotos()] == ["tile.tif"]
    assert world.client.delete(url).status_code == 204
    assert imagery(Path(settings.storage_location)) == []


@pytest.mark.parametrize("mount_point", [True, False])
def test_a_survey_that_is_deleted_stays_and_says_so(
    world: World, settings: Settings, mount_point: bool
) -> None:
    assert world.put("tile.tif", tile(world.folder)).status_code == 201
    with away(settings, mount_point=mount_point):
        for _ in range(2):
            assert world.client.delete(world.survey_url).status_code == 503
    left = world.survey()
    assert (left["state"], "delete it again" in left["error"]) == ("failed", True)
    assert world.client.delete(world.survey_url).status_code == 204
    assert imagery(Path(settings.storage_location)) == []


def test_a_deletion_whose_storage_goes_in_the_middle_is_taken_back(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to be found in an empty folder, which is not to say that all was removed."""
    assert world.put("tile.tif", tile(world.folder)).status_code == 201
    folder = Path(settings.storage_location)
    keys = Storage.keys

    def unmount_first(storage: Storage, prefix: str, *, older_than_s: float = 0.0) -> list[str]:
        if folder.exists():
            folder.rename(world.folder / "disk")
        return keys(storage, prefix, older_than_s=older_than_s)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "keys", unmount_first)
        assert world.client.delete(world.survey_url).status_code == 503
    (world.folder / "disk").rename(folder)
    assert world.survey()["state"] == "failed"
    assert world.client.delete(world.survey_url).status_code == 204
    assert imagery(folder) == []


def test_what_is_checked_first_is_whose_storage_it_is(
    world: World, settings: Settings, engine: Engine
) -> None:
    """Nothing is written, not even to try, where it is another."""
    assert world.put("tile.tif", tile(world.folder)).status_code == 201
    with away(settings, mount_point=True) as place:
        assert world.client.get("/readyz").status_code == 503
        assert list(place.iterdir()) == []
    check_storage(engine, Storage(settings.storage_location))
