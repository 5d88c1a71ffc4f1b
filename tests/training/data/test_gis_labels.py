"""Lines and polygons of a GIS over GeoTIFFs become masks, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage

from laid_out import laid_out
from pavemap.geo.errors import BadInput, NotAGeoTiff
from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.training.data.gis_labels import GisLabels, gis_files
from pavemap.training.data.manifest import read_manifest
from pavemap.training.data.pair_folder import write_folder
from rasters import GSD, NORTH_UP, UTM, texture, write

LEFT, TOP = NORTH_UP.c, NORTH_UP.f
WIDTH, HEIGHT = 300, 200


def placed(shape: shapely.Geometry) -> shapely.Geometry:
    """A shape in the tile's (column, row), on the ground."""
    return shapely.transform(shape, lambda p: np.array([LEFT, TOP]) + p * [GSD, -GSD])


def labelled(path: Path, *shapes: shapely.Geometry, crs: str = "EPSG:4326", **columns: Any) -> Path:
    frame = gpd.GeoDataFrame(columns, geometry=[placed(each) for each in shapes], crs=UTM)
    frame.to_crs(crs).to_file(path)
    return path


@pytest.fixture
def tiles(tmp_path: Path) -> list[Path]:
    """A picture of 300 x 200 pixels in two tiles, side by side."""
    picture = texture(HEIGHT, WIDTH)
    halves = []
    for number, columns in enumerate((slice(0, 160), slice(160, WIDTH))):
        moved = NORTH_UP @ Affine.translation(columns.start, 0)
        halves.append(write(tmp_path / f"{number}.tif", picture[:, columns], transform=moved))
    return halves


def test_lines_with_widths_and_polygons_in_another_system(
    tiles: list[Path], tmp_path: Path
) -> None:
    labels = labelled(
        tmp_path / "labels.geojson",
        shapely.LineString([(50, 100), (250, 100)]),
        shapely.box(100, 20, 130, 40),
        width_mm=[60.0, None],
    )
    what = GisLabels(labels, chip_px=128)
    write_folder(gis_files(what, tiles), tmp_path / "set")
    pixels, mask = laid_out(tmp_path / "set", transform=NORTH_UP, height=HEIGHT, width=WIDTH)
    expected = np.full((HEIGHT, WIDTH), IGNORE, np.uint8)
    expected[4:-4, 4:-4] = SOUND  # as in a survey, the imagery's rim is not believed
    expected[97:103, 50:250] = CRACK
    expected[20:40, 100:130] = CRACK
    inner = np.ones_like(expected, np.bool_)
    inner[:, :53] = inner[:, 247:] = False  # the line's ends are round
    assert np.array_equal(mask[inner], expected[inner])
    assert mask[100, 48] == CRACK
    assert mask[100, 45] == SOUND
    assert np.array_equal(pixels, texture(HEIGHT, WIDTH))
    manifest = read_manifest(tmp_path / "set")
    assert manifest is not None
    assert manifest.gsd_m == pytest.approx(GSD, rel=1e-3)
    assert manifest.source["labels"]["name"] == "labels.geojson"
    assert sorted(each["name"] for each in manifest.source["orthophotos"]) == ["0.tif", "1.tif"]

    write_folder(gis_files(what, tiles[::-1]), tmp_path / "again")
    files = sorted(each.relative_to(tmp_path / "set") for each in (tmp_path / "set").rglob("*.*"))
    assert len(files) > 5
    for name in files:
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_verdicts_are_heeded_and_only_the_areas_are_cut(tiles: list[Path], tmp_path: Path) -> None:
    lines = [shapely.LineString([(0, row), (300, row)]) for row in (40, 80, 120)]
    labels = labelled(
        tmp_path / "labels.gpkg",
        *lines,
        crs="EPSG:3857",
        verdict=["confirmed", "rejected", None],
        width_mean_mm=[40.0] * 3,
    )
    areas = labelled(tmp_path / "areas.geojson", shapely.box(100, 20, 200, 140))
    what = GisLabels(labels, areas=areas, chip_px=128)
    write_folder(gis_files(what, tiles), tmp_path / "set")
    _, mask = laid_out(tmp_path / "set", transform=NORTH_UP, height=HEIGHT, width=WIDTH)
    column = mask[:, 150]
    assert np.flatnonzero(column == CRACK).tolist() == [38, 39, 40, 41]
    assert (column[70:90] == SOUND).all()
    assert np.flatnonzero(column[20:140] == IGNORE).tolist() == list(range(96, 104))
    assert (column[:20] == IGNORE).all()
    assert (column[140:] == IGNORE).all()
    assert (mask[:, :100] == IGNORE).all()


def test_a_coarser_pixel_can_be_asked_for(tiles: list[Path], tmp_path: Path) -> None:
    labels = labelled(tmp_path / "a.gpkg", shapely.box(100, 50, 140, 90), name=["x"])
    what = GisLabels(labels, gsd_m=2 * GSD, chip_px=64)
    manifest = write_folder(gis_files(what, tiles), tmp_path / "set")
    assert manifest.gsd_m == pytest.approx(2 * GSD, rel=1e-3)
    assert manifest.pixels()["crack"] == 20 * 20


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"name": ["x"]}, {}, "#1 is a line without a width"),
        ({"name": ["x"]}, {"width_field": "w"}, "there is no field 'w'; the file has: name"),
        ({"w": ["wide"]}, {"width_field": "w"}, "#1 is 'wide' wide"),
        ({"verdict": ["maybe"]}, {"width_mm": 5.0}, "#1 has the verdict 'maybe'"),
        ({"name": ["x"]}, {"width_mm": 5.0, "chip_px": 100}, "multiples of 32"),
        ({"name": ["x"]}, {"width_mm": 5.0, "gsd_m": -1.0}, "pixel of -1"),
    ],
)
def test_labels_that_can_t_be_used_are_named(
    tiles: list[Path], tmp_path: Path, columns: Any, options: Any, message: str
) -> None:
    line = shapely.LineString([(50, 100), (250, 100)])
    labels = labelled(tmp_path / "labels.gpkg", line, **columns)
    with pytest.raises(BadInput, match=message):
        gis_files(GisLabels(labels, **options), tiles)


def test_labels_without_any_verdict_yet_are_said(tiles: list[Path], tmp_path: Path) -> None:
    box = shapely.box(100, 20, 130, 40)
    labels = labelled(tmp_path / "fresh.gpkg", box, verdict=[None])
    with pytest.raises(BadInput, match=r"no label of 'fresh.gpkg' has a verdict yet"):
        gis_files(GisLabels(labels), tiles)


def test_a_polygon_thinner_than_a_pixel_is_taught_whole(tiles: list[Path], tmp_path: Path) -> None:
    sliver = shapely.LineString([(50, 20), (250, 170)]).buffer(0.2)
    write_folder(
        gis_files(GisLabels(labelled(tmp_path / "a.gpkg", sliver, name=["x"])), tiles),
        tmp_path / "set",
    )
    crack = laid_out(tmp_path / "set", transform=NORTH_UP, height=HEIGHT, width=WIDTH)[1] == CRACK
    assert crack[:, 50:250].any(axis=0).all()
    _, parts = ndimage.label(crack, structure=np.ones((3, 3)))
    assert parts == 1
    assert 200 <= crack.sum() < 450


@pytest.mark.parametrize("apart_px", [64, 200])
def test_a_chip_costs_the_same_beside_however_many_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart_px: int
) -> None:
    """Of tiles that make up one strip, and of tiles with gaps between them."""
    painted: list[int] = []

    def counted(shapes: Iterable[tuple[shapely.Geometry, int]], **options: Any) -> Any:
        given = list(shapes)
        painted.append(len(shapely.get_coordinates([shape for shape, _ in given])))
        return rasterize(given, **options)

    monkeypatch.setattr("pavemap.geo.labels.ground_labels.rasterize", counted)
    row = []
    for number in range(24):
        moved = NORTH_UP @ Affine.translation(apart_px * number, 0)
        row.append(write(tmp_path / f"{number}.tif", texture(64, 64), transform=moved))
    labels = labelled(tmp_path / "a.gpkg", shapely.box(20, 20, 40, 40), name=["x"])
    most = []
    for tiles in (row[:6], row):
        painted.clear()
        list(gis_files(GisLabels(labels, chip_px=64), tiles))
        most.append(max(painted))
    assert most[0] == most[1]


def test_labels_beside_the_imagery_and_files_that_are_none(
    tiles: list[Path], tmp_path: Path
) -> None:
    far = labelled(tmp_path / "far.gpkg", shapely.box(9000, 0, 9010, 10), name=["x"])
    with pytest.raises(BadInput, match=r"no label of 'far.gpkg' lies on the imagery"):
        gis_files(GisLabels(far), tiles)
    points = labelled(tmp_path / "points.geojson", shapely.Point(1, 1), name=["x"])
    with pytest.raises(BadInput, match="holds no labels that can be used"):
        gis_files(GisLabels(points), tiles)
    near = labelled(tmp_path / "near.gpkg", shapely.box(10, 10, 20, 20), name=["x"])
    (tmp_path / "vrt.tif").write_text("<VRTDataset/>")
    with pytest.raises(NotAGeoTiff):
        gis_files(GisLabels(near), [*tiles, tmp_path / "vrt.tif"])
    with pytest.raises(BadInput, match="there is no imagery"):
        gis_files(GisLabels(near), [])
