"""`pavemap detect` with the shipped model: files in, files out, nothing else needed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import matplotlib.image
import pytest

import store_scene
from cli_world import Cli
from pavemap.platform.cli.detect import _note_enlarging
from pavemap.training.models.shipped_models import default_card


def test_a_folder_and_roads_become_a_geopackage_and_a_map(
    tiles: Path, roads: Path, tmp_path: Path
) -> None:
    target, picture = tmp_path / "cracks.gpkg", tmp_path / "map.png"
    said = Cli()(
        "detect", tiles, "-o", target, "--map", picture, "--roads", roads, "--segment-length", 1,
        "--id-field", "ref", "--name-field", "label", "--width-field", "wide", "--json",
    ).json  # fmt: skip

    cracks = gpd.read_file(target, layer="cracks")
    segments = gpd.read_file(target, layer="segments")
    assert said["files"] == [str(target), str(picture)]
    assert said["cracks"] == len(cracks) > 0
    assert said["crack_length_m"] == pytest.approx(segments["crack_length_m"].sum(), abs=0.001)
    assert said["imaged_m2"] == pytest.approx(2.4, abs=0.03)
    assert len(segments) == 5
    assert said["segments"][0]["segment_key"].startswith("R1:")
    assert said["segments"][0]["lanes"] is None
    assert 0 <= said["segments"][0]["pci_cracking"] <= 100
    assert said["mpx_per_s"]["detect"] > 0.0
    assert (cracks["model"] == default_card().model_id).all()
    assert (cracks["width_max_mm"] >= cracks["width_mean_mm"]).all()
    assert cracks["confidence"].between(0.2, 1.0).all()
    assert matplotlib.image.imread(picture).shape[1] == 1820
    with closing(sqlite3.connect(target)) as package:
        told = dict(package.execute("SELECT table_name, description FROM gpkg_contents"))
    card = default_card()
    rests_on = f"and 2 more by model {card.model_id}: threshold {card.threshold:g}, 2 mm a pixel."
    for name in ("cracks", "segments", "pieces"):
        assert told[name] == f"tile_0_0.tif {rests_on}"


def test_pictures_beside_the_tiles_are_left_out_with_a_word(tiles: Path, tmp_path: Path) -> None:
    shutil.copy(tiles / "tile_0_1.tif", tmp_path)
    (tmp_path / "tile_0_2.jpg").touch()

    said = Cli()("detect", tmp_path, "-o", tmp_path / "cracks.gpkg", "--json")

    assert "Warning: left out, as only GeoTIFFs are read: tile_0_2.jpg; to have them in" in said.err
    assert said.json["cells"] > 0


def test_a_mask_beside_a_tile_is_not_left_unread_in_silence(tiles: Path, tmp_path: Path) -> None:
    shutil.copy(tiles / "tile_0_1.tif", tmp_path / "a.tif")
    (tmp_path / "a.tif.msk").touch()

    said = Cli()("detect", tmp_path, "-o", tmp_path / "cracks.gpkg")

    assert "Warning: masks in files of their own (.msk) aren't read" in said.err


def test_a_tile_becomes_geojson(tiles: Path, tmp_path: Path) -> None:
    target = tmp_path / "cracks.geojson"

    said = Cli()("detect", tiles / "tile_0_1.tif", "-o", target, "--threshold", 0.5, "--gsd", 0.004)

    assert str(target) in said.out
    assert json.loads(target.read_text())["name"] == "cracks"


def test_enlarging_coarse_pixels_is_not_done_in_silence(tiles: Path, tmp_path: Path) -> None:
    target = tmp_path / "cracks.gpkg"

    said = Cli()("detect", tiles / "tile_0_1.tif", "-o", target, "--gsd", 0.00049)

    assert "Mpx; --gsd 0.002 reads them as they are" in said.err


def test_one_fine_tile_among_coarse_ones_does_not_hide_the_enlarging(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fine = replace(store_scene.orthophoto("fine.tif"), gsd_m=0.002)
    coarse = replace(store_scene.orthophoto("coarse.tif"), gsd_m=0.01)
    _note_enlarging([fine, *[coarse] * 50], 0.002)
    assert "--gsd 0.01 reads them as they are" in capsys.readouterr().err
    _note_enlarging([*[fine] * 50, coarse], 0.002)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--model", "no-such"), "no model no-such"),
        (("--crs", "EPSG:4326"), "is not projected"),
        (("-o", "cracks.shp"), "end it in .gpkg"),
        (("--threshold", "1.5"), "threshold must be within 0 and 1"),
        (("--map", "map.jpg"), "end its name in .png"),
        (("--map", "/proc/map.png"), "/proc/map.png can't be written: its folder takes no files"),
        (("-o", "/proc/cracks.csv"), "/proc/cracks.csv can't be written"),
        (("--gsd", "0"), "a pixel of 0.0 m can't be surveyed; give a size such as 0.002"),
        (("--gsd", "-0.01"), "a pixel of -0.01 m can't be surveyed"),
        (
            ("--id-field", "ref", "--width-unit", "ft"),
            "--id-field, --width-unit: only of use with a road file",
        ),
        (("--segment-length", "5"), "give one with --roads"),
    ],
)
def test_what_can_not_be_is_told(
    tiles: Path, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    said = Cli().fails(
        "detect", tiles, *(() if "-o" in options else ("-o", tmp_path / "c.gpkg")), *options
    )

    assert sentence in said.err
    assert "Warning" not in said.err
    assert list(tmp_path.iterdir()) == []
