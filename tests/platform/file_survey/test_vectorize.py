"""Masks of any type and placing give the cracks that are drawn in them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

from cli_world import Cli
from drawn_cracks import random_cracks
from pavemap.geo.crs import ground_scale, unevenness
from pavemap.geo.errors import UnsupportedRaster
from pavemap.platform.file_survey.vectorize import VectorizeOptions, vectorize_file
from rasters import LEFT, NORTH_UP, TOP, UTM, write

GSD = 0.01
SCALE = ground_scale(UTM, LEFT, TOP)
CRACK_M = 3.0 / SCALE


@pytest.fixture
def drawn() -> NDArray[np.uint8]:
    """4 m x 3 m with one level crack of 3 m, 5 pixels (50 mm) wide, 1 m below the top."""
    mask = np.zeros((300, 400), np.uint8)
    mask[98:103, 50:350] = 255
    return mask


def found_in(path: Path, **options: Any) -> tuple[gpd.GeoDataFrame, str]:
    found, read_as = vectorize_file(path, options=VectorizeOptions(**options))
    return found.cracks, read_as


@pytest.mark.parametrize(
    ("dtype", "factor", "values"),
    [
        ("uint8", 1 / 255, "mask"),
        ("uint8", 1, "mask"),
        ("uint16", 65535 / 255, "mask"),
        ("float32", 1 / 255, "probability"),
    ],
)
def test_any_type_of_mask_gives_the_crack(
    drawn: NDArray[np.uint8], tmp_path: Path, dtype: str, factor: float, values: str
) -> None:
    raster = (drawn * factor).round().astype(dtype)[:, :, None]
    cracks, read_as = found_in(write(tmp_path / "mask.tif", raster))
    assert read_as == values
    assert len(cracks) == 1
    assert cracks["length_m"].item() == pytest.approx(CRACK_M, rel=0.002)
    assert cracks["width_mean_mm"].item() == pytest.approx(50.0 / SCALE, rel=0.01)
    assert cracks["width_p95_mm"].item() == pytest.approx(50.0 / SCALE, rel=0.01)
    ends = cracks.to_crs(UTM).geometry.item().coords
    assert sorted(x for x, *_ in ends) == pytest.approx([LEFT + 0.5, LEFT + 3.5], abs=0.001)
    assert {round(TOP - y, 3) for _, y, *_ in ends} == {1.005}


def test_grey_values_are_probabilities(drawn: NDArray[np.uint8], tmp_path: Path) -> None:
    drawn[200:205, 50:350] = 100  # a crack that the threshold leaves out
    path = write(tmp_path / "probability.tif", drawn[:, :, None])
    cracks, read_as = found_in(path)
    assert (read_as, len(cracks)) == ("probability", 1)
    cracks, read_as = found_in(path, values="mask")
    assert (read_as, len(cracks)) == ("mask", 2)


def test_a_scale_that_the_file_declares_is_not_overruled(
    drawn: NDArray[np.uint8], tmp_path: Path
) -> None:
    packed = (drawn.astype(np.float32) * (10_000 / 255) + 1).astype(np.uint16)[:, :, None]
    path = write(tmp_path / "packed.tif", packed)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.0001,)
    with pytest.raises(UnsupportedRaster, match="gdal_translate -unscale"):
        found_in(path, values="probability")


def test_lengths_of_an_equal_area_grid_are_true_metres(
    drawn: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Portugal in EPSG:3035, where 100 m are 98.7 to 101.3 m by direction; pixels are oblong there."""
    laea = CRS.from_epsg(3035)
    assert unevenness(laea, 2_670_000.0, 1_950_000.0) > 1.02
    placed = Affine(GSD, 0, 2_670_000.0, 0, -GSD, 1_950_000.0)
    across = write(tmp_path / "across.tif", drawn[:, :, None], transform=placed, crs=laea)
    down = write(
        tmp_path / "down.tif",
        np.ascontiguousarray(drawn.T)[:, :, None],
        transform=placed,
        crs=laea,
    )
    for path, heading in ((across, (1.0, 0.0)), (down, (0.0, 1.0))):
        (length,) = found_in(path)[0]["length_m"]
        ends = np.array([[2_670_000.0, 1_950_000.0]]) + np.outer([0.0, 3.0], heading)
        lon, lat = Transformer.from_crs(laea, 4326, always_xy=True).transform(*ends.T)
        true = Geod(ellps="GRS80").line_length(lon, lat)
        assert length == pytest.approx(true, rel=0.004)


@pytest.mark.parametrize("shift", [0.0, 0.0031])
def test_pixels_stay_pixels_wherever_the_raster_begins(tmp_path: Path, shift: float) -> None:
    """A line of one pixel would break if it were resampled half a pixel aside."""
    mask = np.zeros((200, 300, 1), np.uint8)
    cv2.line(mask, (20, 30), (280, 150), (1,), 1)
    path = write(tmp_path / "mask.tif", mask, transform=Affine.translation(shift, shift) @ NORTH_UP)
    cracks, _ = found_in(path, cell_px=64)
    assert len(cracks) == 1
    assert cracks["length_m"].item() == pytest.approx(np.hypot(2.6, 1.2) / SCALE, rel=0.01)
    first = min(cracks.to_crs(UTM).geometry.item().coords)
    assert first[:2] == pytest.approx((LEFT + 0.205 + shift, TOP - 0.305 + shift), abs=0.008)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (UTM, NORTH_UP @ Affine.rotation(20)),
        (CRS.from_epsg(4326), Affine(1.4e-7, 0, 15.0, 0, -0.9e-7, 49.6)),
    ],
)
def test_turned_rasters_and_degrees_give_true_metres(
    drawn: NDArray[np.uint8], tmp_path: Path, crs: CRS, transform: Affine
) -> None:
    cracks, _ = found_in(
        write(tmp_path / "mask.tif", drawn[:, :, None], crs=crs, transform=transform)
    )
    assert len(cracks) == 1
    degree_m = 111_320.0 * np.cos(np.deg2rad(49.6))
    true_m = CRACK_M if crs == UTM else 300 * 1.4e-7 * degree_m
    assert cracks["length_m"].item() == pytest.approx(true_m, rel=0.005)


def test_pixels_of_web_mercator_are_said_in_ground_metres(
    drawn: NDArray[np.uint8], tmp_path: Path
) -> None:
    """At 49.6 degrees north a metre of ground is 1.54 m in web mercator."""
    transform = Affine(0.01, 0.0, 1_670_000.0, 0.0, -0.01, 6_379_000.0)
    path = write(
        tmp_path / "m.tif", drawn[:, :, None], crs=CRS.from_epsg(3857), transform=transform
    )
    found, _ = vectorize_file(path)
    assert found.gsd_m == pytest.approx(0.01 * np.cos(np.deg2rad(49.6)), rel=0.005)
    assert found.cracks["width_mean_mm"].item() == pytest.approx(5000 * found.gsd_m, rel=0.01)


def test_cells_change_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tif", random_cracks(600, cracks=6, seed=2)[:, :, None])
    one, _ = found_in(path, cell_px=1024)
    many, _ = found_in(path, cell_px=128)
    assert len(one) == len(many)
    assert many["length_m"].sum() == pytest.approx(one["length_m"].sum(), rel=0.001)


def test_no_data_is_not_imaged_but_no_data_of_zero_is_background(
    drawn: NDArray[np.uint8], tmp_path: Path
) -> None:
    drawn[150:] = 7
    unseen, _ = vectorize_file(write(tmp_path / "a.tif", drawn[:, :, None], nodata=7))
    assert unseen.imaged_m2 == pytest.approx(1.5 * 4 / SCALE**2, rel=1e-3)
    drawn[150:] = 0
    seen, _ = vectorize_file(write(tmp_path / "b.tif", drawn[:, :, None], nodata=0))
    assert seen.imaged_m2 == pytest.approx(3 * 4 / SCALE**2, rel=1e-3)


@pytest.mark.parametrize("crack", [1, 255])
def test_a_mask_whose_cracks_are_declared_no_data_is_not_one_without_cracks(
    drawn: NDArray[np.uint8], tmp_path: Path, crack: int
) -> None:
    mask = np.where(drawn > 0, crack, 0).astype(np.uint8)[:, :, None]
    found, _ = vectorize_file(write(tmp_path / "a.tif", mask, nodata=crack))
    assert len(found.cracks) == 0
    (warning,) = found.warnings
    assert f"pixels of {crack}, which the file declares as no-data" in warning
    assert "-unsetnodata" in warning


@pytest.mark.parametrize("unseen", [255, np.nan])
def test_no_data_is_not_imaged_far_from_the_raster_s_frame_either(
    tmp_path: Path, unseen: float
) -> None:
    mask = np.zeros((1500, 1500, 1), np.uint8 if unseen == 255 else np.float32)
    mask[700:705, 1100:1400] = 1
    mask[:, :1000] = unseen
    path = write(tmp_path / "a.tif", mask, nodata=unseen if unseen == 255 else None)
    found, _ = vectorize_file(path)
    assert found.imaged_m2 == pytest.approx(15.0 * 5.0 / SCALE**2, rel=1e-3)
    assert found.crack_length_m == pytest.approx(CRACK_M, rel=0.005)


@pytest.mark.parametrize(
    ("crs", "size"),
    [
        (UTM, (0.001, 0.004)),
        (UTM, (0.004, 0.001)),
        (UTM, (0.001, 0.002)),
        (CRS.from_epsg(4326), (0.002 / 111_320, 0.002 / 111_320)),  # 1 mm x 2 mm at 60 degrees
    ],
    ids=["1 x 4", "4 x 1", "1 x 2", "degrees"],
)
@pytest.mark.parametrize("degrees", [0.0, 3.0, 12.0])
def test_a_line_of_one_oblong_pixel_stays_whole(
    tmp_path: Path, crs: CRS, size: tuple[float, float], degrees: float
) -> None:
    """A line at an angle to the long side of the pixels, drawn one pixel wide along it."""
    wide, high = size if crs == UTM else (0.001, 0.002)
    along = np.arange(10, 590)
    aside = 50 + along * np.tan(np.radians(degrees)) * max(wide, high) / min(wide, high)
    mask = np.zeros((600, 600), np.uint8)
    mask[along, aside.astype(int)] = 1
    true_m = len(along) * max(wide, high) / np.cos(np.radians(degrees))
    if wide > high:
        mask = np.ascontiguousarray(mask.T)
    corner = (LEFT + 3e-4, TOP + 7e-4) if crs == UTM else (15.01, 60.0)
    placed = Affine(size[0], 0, corner[0], 0, -size[1], corner[1])
    cracks, _ = found_in(write(tmp_path / "m.tif", mask[:, :, None], crs=crs, transform=placed))
    assert len(cracks) == 1
    assert cracks["length_m"].item() == pytest.approx(true_m, rel=0.01)


def test_the_command_writes_cracks_and_density_by_segment(
    drawn: NDArray[np.uint8], tmp_path: Path
) -> None:
    mask = write(tmp_path / "mask.tif", drawn[:, :, None])
    line = shapely.LineString([(LEFT, TOP - 1), (LEFT + 4, TOP - 1)])
    roads = gpd.GeoDataFrame({"ref": ["R1"], "wide": [1.6]}, geometry=[line], crs=UTM)
    roads.to_file(tmp_path / "roads.gpkg", driver="GPKG")
    target = tmp_path / "cracks.gpkg"
    said = Cli()(
        "vectorize", mask, "-o", target, "--roads", tmp_path / "roads.gpkg", "--id-field", "ref",
        "--width-field", "wide", "--segment-length", 2, "--json",
    ).json  # fmt: skip
    segments = gpd.read_file(target, layer="segments")
    assert said["values"] == "mask"
    assert said["crack_length_m"] == pytest.approx(CRACK_M, rel=0.002)
    assert segments["crack_length_m"].tolist() == pytest.approx([1.5 / SCALE] * 2, rel=0.01)
    assert segments["density_m_per_m2"].tolist() == pytest.approx([1.5 / 3.2] * 2, rel=0.01)
    assert len(gpd.read_file(target, layer="pieces")) == 2
    with closing(sqlite3.connect(target)) as package:
        told = dict(package.execute("SELECT table_name, description FROM gpkg_contents"))
    assert (
        told["cracks"] == told["pieces"] == "mask.tif, read as mask: threshold 0.5, 10 mm a pixel."
    )


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "csv"])
def test_a_picture_gives_pixel_coordinates_and_metres(
    drawn: NDArray[np.uint8], tmp_path: Path, suffix: str
) -> None:
    picture, target = tmp_path / "label.png", tmp_path / f"cracks.{suffix}"
    cv2.imwrite(str(picture), drawn // 255)
    said = Cli()("vectorize", picture, "-o", target, "--gsd", GSD, "--json").json
    assert said["crack_length_m"] == pytest.approx(3.0, rel=0.002)
    if suffix == "csv":
        assert target.read_text().splitlines()[0].endswith("model,x,y")
        return
    if suffix == "gpkg":
        (crack,) = gpd.read_file(target, layer="cracks").geometry
        ends = sorted(crack.coords)
    else:
        ends = sorted(json.loads(target.read_text())["features"][0]["geometry"]["coordinates"])
    assert list(ends[0]) == pytest.approx([50, -100.5], abs=0.1)
    assert list(ends[-1]) == pytest.approx([350, -100.5], abs=0.1)


@pytest.mark.parametrize(
    ("background", "crack", "said"),
    [
        (255, 0, "the mask may be inverted (0 is background and all else crack)"),
        (250, 1, "the mask may be inverted (high values are crack)"),
        (0, 255, None),
    ],
)
def test_a_mask_that_is_crack_for_the_most_part_may_be_inverted(
    drawn: NDArray[np.uint8], tmp_path: Path, background: int, crack: int, said: str | None
) -> None:
    raster = np.where(drawn > 0, crack, background).astype(np.uint8)
    raster[150:] = 7  # not observed, so that it counts for nothing
    mask, picture = write(tmp_path / "m.tif", raster[:, :, None], nodata=7), tmp_path / "m.png"
    cv2.imwrite(str(picture), raster[:150])
    for arguments in ((mask,), (picture, "--gsd", GSD)):
        told = Cli()("vectorize", *arguments, "-o", tmp_path / "out.gpkg", "--json")
        assert told.json["cracks"] >= 0
        if said is None:
            assert told.err == ""
        else:
            assert f"{arguments[0].name}: 98% of the observed pixels are crack: {said}" in told.err


@pytest.mark.parametrize(
    ("dtype", "crack", "other", "said"),
    [
        ("uint8", 1, 2, "threshold of 0.5 of 255: the greatest value is 2, so there is no crack"),
        (
            "uint16",
            1,
            2,
            "threshold of 0.5 of 65535: the greatest value is 2, so there is no crack",
        ),
        ("uint8", 100, 20, "gdal_translate -scale 0 100 0 255"),
        ("float32", 0.4, 0.1, "threshold of 0.5: the greatest value is 0.4"),
        ("uint8", 0, 0, None),
        ("uint8", 130, 20, None),
    ],
)
def test_values_that_never_reach_the_threshold_may_be_none_of_probability(
    drawn: NDArray[np.uint8],
    tmp_path: Path,
    dtype: str,
    crack: float,
    other: float,
    said: str | None,
) -> None:
    raster = np.where(drawn > 0, crack, 0).astype(dtype)
    raster[200:205, 50:350] = other
    raster[290:] = (
        250 if dtype != "float32" else np.nan
    )  # not observed, so that it counts for nothing
    nodata = 250 if dtype != "float32" else None
    mask = write(tmp_path / "m.tif", raster[:, :, None], nodata=nodata)
    told = Cli()("vectorize", mask, "-o", tmp_path / "out.gpkg", "--json")
    assert told.json["cracks"] == (1 if crack == 130 else 0)
    if said is None:
        assert told.err == ""
        return
    assert said in " ".join(told.err.split())
    assert "say --values mask" in " ".join(told.err.split())
    cracks, _ = found_in(mask, values="mask")
    assert len(cracks) == 2


def test_a_mask_beside_the_raster_is_not_left_unread_in_silence(
    drawn: NDArray[np.uint8], tmp_path: Path
) -> None:
    mask = write(tmp_path / "m.tif", drawn[:, :, None])
    (tmp_path / "m.tif.msk").touch()
    told = Cli()("vectorize", mask, "-o", tmp_path / "out.gpkg")
    assert "Warning: masks in files of their own (.msk) aren't read" in told.err


def test_a_picture_of_classes_is_told_too(drawn: NDArray[np.uint8], tmp_path: Path) -> None:
    picture = tmp_path / "label.png"
    cv2.imwrite(str(picture), np.where(drawn > 0, 2, 1).astype(np.uint8))
    found, _ = vectorize_file(picture, options=VectorizeOptions(gsd_m=GSD))
    (warning,) = found.warnings
    assert "the greatest value is 2" in warning


def test_what_can_not_be_is_told(drawn: NDArray[np.uint8], tmp_path: Path) -> None:
    grey = drawn[:, :, None]
    picture = tmp_path / "label.png"
    cv2.imwrite(str(picture), drawn)
    too_high = np.where(grey > 0, 3.5, 1.5).astype(np.float32)
    roads = tmp_path / "roads.gpkg"
    roads.write_bytes(b"")
    (tmp_path / "scene.vrt").write_text("<VRTDataset/>")
    cases: list[tuple[tuple[object, ...], str]] = [
        ((picture,), "--gsd"),
        ((picture, "--gsd", 0.01, "--roads", roads), "no road can be found on it"),
        ((write(tmp_path / "a.tif", grey), "--gsd", 0.01), "its own pixel size"),
        ((write(tmp_path / "b.tif", np.repeat(grey, 3, axis=2)),), "3 bands"),
        ((write(tmp_path / "c.tif", grey.astype(np.int32)),), "int32 pixels"),
        ((write(tmp_path / "d.tif", too_high),), "a probability is 0 to 1"),
        ((tmp_path / "scene.vrt",), "a GDAL virtual raster"),
        ((tmp_path / "none.tif",), "check the name"),
        ((picture, "--gsd", 0.01, "--gap", 50), "gap_px must be within 0"),
        ((picture, "--gsd", 0.01, "--layer", "streets"), "--layer: only of use with a road file"),
    ]
    for arguments, sentence in cases:
        said = Cli().fails("vectorize", *arguments, "-o", tmp_path / "out.gpkg")
        assert sentence in " ".join(said.err.split()), arguments
        assert not (tmp_path / "out.gpkg").exists()
