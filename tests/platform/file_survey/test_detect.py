"""Surveys of files: figures that can be counted by hand, whatever the tiles, cells and CRS."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS

from cli_world import dark
from pavemap.geo.crs import ground_scale
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.road_network import read_network
from pavemap.geo.roads.segments import segment_network
from pavemap.platform.file_survey.detect import DetectOptions, read_orthophotos, survey_files
from pavemap.platform.file_survey.survey import FileSurvey
from pavemap.training.models.card import ModelCard
from scenes import ORIGIN_X, ORIGIN_Y, UTM, Scene, asphalt, cut, draw_crack, write_tile

CARD = ModelCard(
    name="dark",
    architecture="none",
    channels=3,
    gsd_m=0.002,
    gsd_range_m=(0.001, 0.004),
    threshold=0.5,
    digest="0" * 64,
    created="2026-01-01T00:00:00+00:00",
)


@pytest.fixture
def scene() -> Scene:
    """2 m x 1.2 m with one crack of 1.2 m along the middle, 5 pixels (10 mm) wide."""
    image = asphalt(1000, 600)
    draw_crack(image, [(200, 300), (800, 300)], width_px=4)  # OpenCV draws 5
    return Scene(image, gsd_m=0.002)


@pytest.fixture
def segments(tmp_path: Path) -> gpd.GeoDataFrame:
    """A road 1 m wide along the crack, in four segments of 1 m: two on the scene, two beyond it."""
    y = ORIGIN_Y - 0.6
    line = shapely.LineString([(ORIGIN_X, y), (ORIGIN_X + 4, y)])
    frame = gpd.GeoDataFrame({"id": ["R1"], "width": [1.0]}, geometry=[line], crs=UTM)
    frame.to_file(tmp_path / "roads.gpkg", driver="GPKG")
    fields = FieldMap(road_id="id", width="width")
    return segment_network(read_network(tmp_path / "roads.gpkg", fields=fields), length_m=1.0)


def survey(
    paths: list[Path], segments: gpd.GeoDataFrame | None = None, **options: object
) -> FileSurvey:
    return survey_files(
        read_orthophotos(paths),
        card=CARD,
        detect=dark,
        segments=segments,
        options=DetectOptions(**options),  # type: ignore[arg-type]
    )


def test_all_files_that_cannot_be_read_are_told_at_once(scene: Scene, tmp_path: Path) -> None:
    tiles = cut(scene, tmp_path, columns=2, rows=1)
    empty, text = tmp_path / "empty.tif", tmp_path / "text.tif"
    empty.touch()
    text.write_text("no picture")

    with pytest.raises(
        BadInput, match=r"2 of 4 files can't be used:\n  .*empty\.tif is empty.*\n  .*text"
    ):
        read_orthophotos([empty, *tiles, text])


def test_a_tile_alone_gives_cracks_and_density(scene: Scene, tmp_path: Path) -> None:
    found = survey(cut(scene, tmp_path, columns=1, rows=1))

    assert len(found.cracks) == 1
    assert found.crack_length_m == pytest.approx(1.2, rel=0.02)
    assert found.cracks["width_mean_mm"].iloc[0] == pytest.approx(10.0, abs=1.0)
    assert found.cracks["model"].iloc[0] == "dark-00000000"
    # The imagery's outer strip of 4 pixels does not count as imaged.
    assert found.imaged_m2 == pytest.approx(1.984 * 1.184, rel=0.001)
    assert found.density_m_per_m2 == pytest.approx(1.2 / found.imaged_m2, rel=0.02)
    assert found.segments is None


def test_roads_give_density_by_segment(
    scene: Scene, segments: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    found = survey(cut(scene, tmp_path, columns=1, rows=1), segments)

    assert found.segments is not None
    assert found.pieces is not None
    table = found.segments
    assert table["crack_length_m"].tolist()[:2] == pytest.approx([0.6, 0.6], abs=0.02)
    assert table["crack_length_m"].isna().tolist() == [False, False, True, True]
    assert table["imaged_m2"].tolist() == pytest.approx([0.992, 0.992, 0.0, 0.0], abs=0.005)
    assert table["density_m_per_m2"].tolist()[:2] == pytest.approx([0.605, 0.605], rel=0.03)
    assert table["density_m_per_m2"].isna().tolist() == [False, False, True, True]
    assert table["reason"].tolist()[2:] == ["no imagery", "no imagery"]
    assert found.pieces["length_m"].sum() == pytest.approx(found.crack_length_m)
    # The measures are those of a server: all of the crack is longitudinal, and 10 mm wide.
    assert table["length_longitudinal_m"].tolist()[:2] == pytest.approx([0.6, 0.6], abs=0.02)
    assert table["cracked_area_m2"].tolist()[:2] == pytest.approx([0.006, 0.006], rel=0.1)
    assert table["pci_cracking"].between(0, 100).tolist() == [True, True, False, False]
    assert table["confident"].tolist() == [True, True, False, False]


def test_cracks_beside_the_pavement_are_none_of_the_survey(
    segments: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    image = asphalt(1000, 600)
    draw_crack(image, [(200, 25), (800, 25)], width_px=4)  # the pavement begins 50 pixels down
    draw_crack(image, [(200, 300), (800, 300)], width_px=4)

    found = survey(cut(Scene(image, gsd_m=0.002), tmp_path, columns=1, rows=1), segments)

    assert found.pieces is not None
    assert found.cracks["crack_id"].tolist() == found.pieces["crack_id"].unique().tolist()
    assert len(found.cracks) == 1
    assert found.cracks["length_m"].sum() == pytest.approx(found.crack_length_m)


def test_figures_of_a_segment_agree_with_each_other(scene: Scene, tmp_path: Path) -> None:
    """A road 1.0024 m wide is 502 pixels of 2 mm, 0.16 % more than there is pavement."""
    y = ORIGIN_Y - 0.6
    line = shapely.LineString([(ORIGIN_X - 0.5, y), (ORIGIN_X + 2.5, y)])
    scale = ground_scale(UTM, ORIGIN_X, y)
    frame = gpd.GeoDataFrame({"id": ["R1"], "width": [1.0024 / scale]}, geometry=[line], crs=UTM)
    frame.to_file(tmp_path / "roads.gpkg", driver="GPKG")
    fields = FieldMap(road_id="id", width="width")
    network = read_network(tmp_path / "roads.gpkg", fields=fields)

    found = survey(cut(scene, tmp_path, columns=1, rows=1), segment_network(network, length_m=1.0))

    assert found.segments is not None
    table = found.segments
    assert table["coverage"].tolist() == pytest.approx([0.492, 1.0, 0.492], abs=0.003)
    assert table["coverage"].tolist()[1] == 1.0
    assert (table["imaged_m2"] <= table["pavement_m2"]).all()
    length, area, imaged_m2 = (
        table[name].to_numpy(float) for name in ("crack_length_m", "cracked_area_m2", "imaged_m2")
    )
    assert table["density_m_per_m2"].to_numpy() == pytest.approx(length / imaged_m2, rel=1e-12)
    assert table["cracked_area_share"].to_numpy() == pytest.approx(
        100.0 * area / imaged_m2, rel=1e-12
    )
    assert found.imaged_m2 == pytest.approx(imaged_m2.sum(), rel=1e-12)


def test_too_coarse_imagery_is_not_trusted(segments: gpd.GeoDataFrame, tmp_path: Path) -> None:
    coarse = Scene(asphalt(200, 120), gsd_m=0.01)  # the model's range ends at 4 mm

    found = survey(cut(coarse, tmp_path, columns=1, rows=1), segments)

    assert found.segments is not None
    assert found.segments["too_coarse"].tolist()[0] == pytest.approx(0.96, abs=0.05)
    assert not found.segments["confident"].any()
    assert found.segments["reason"].tolist()[0] == "too coarse"


@pytest.mark.parametrize("cell_px", [2048, 192])
def test_ground_without_data_in_fine_imagery_is_as_coarse_as_what_shows_it(
    segments: gpd.GeoDataFrame, tmp_path: Path, cell_px: int
) -> None:
    """As at the corners of a turned strip of flight: a fine tile's frame covers the second segment.

    No data has a rim of two pixels, 4 mm, where the fine tile is not believed.
    """
    (tmp_path / "coarse").mkdir()
    coarse = cut(Scene(asphalt(200, 120), gsd_m=0.01), tmp_path / "coarse", columns=1, rows=1)
    fine = asphalt(1000, 600)
    fine[:, 500:] = 0
    holed, ended = Scene(fine, gsd_m=0.002), Scene(fine[:, :500], gsd_m=0.002)
    for name, scene, rim_m in (("holed", holed, 0.004), ("ended", ended, 0.0)):
        path = write_tile(
            tmp_path / f"{name}.tif", scene.pixels, crs=UTM, transform=scene.transform, nodata=0
        )
        found = survey([path, *coarse], segments, cell_px=cell_px)
        assert found.segments is not None
        table = found.segments.iloc[:2]
        assert table["too_coarse"].tolist() == pytest.approx([rim_m, 0.992], abs=5e-4), name
        assert table["reason"].tolist()[1] == "too coarse", name
        assert table["confident"].tolist() == [True, False], name


def test_imagery_in_which_no_crack_could_be_seen_is_refused(tmp_path: Path) -> None:
    blind = Scene(asphalt(40, 40), gsd_m=0.034)
    with pytest.raises(BadInput, match=r"34 mm, 17 times .* of at most 32 mm"):
        survey(cut(blind, tmp_path, columns=1, rows=1))


@pytest.mark.parametrize(
    ("columns", "rows", "overlap_px", "cell_px"),
    [(3, 2, 30, 2048), (1, 1, 0, 256), (4, 1, 10, 192)],
)
def test_tiles_and_cells_change_nothing(
    scene: Scene,
    segments: gpd.GeoDataFrame,
    tmp_path: Path,
    columns: int,
    rows: int,
    overlap_px: int,
    cell_px: int,
) -> None:
    (tmp_path / "whole").mkdir()
    whole = survey(cut(scene, tmp_path / "whole", columns=1, rows=1), segments)
    paths = cut(scene, tmp_path, columns=columns, rows=rows, overlap_px=overlap_px)

    found = survey(paths[::-1], segments, cell_px=cell_px)

    assert len(found.cracks) == len(whole.cracks)
    assert found.crack_length_m == pytest.approx(whole.crack_length_m, rel=0.005)
    assert found.imaged_m2 == pytest.approx(whole.imaged_m2, rel=1e-6)


def test_lengths_are_ground_metres_in_any_crs(scene: Scene, tmp_path: Path) -> None:
    """Web mercator at 30 degrees north stretches by 1.15; a metre of crack stays a metre."""
    paths = cut(scene, tmp_path, columns=1, rows=1)

    found = survey(paths, crs=CRS.from_epsg(3857))

    assert found.gsd_m == pytest.approx(0.002, rel=1e-6)
    assert found.crack_length_m == pytest.approx(1.2, rel=0.02)


def test_progress_and_speed_are_told(scene: Scene, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    found = survey_files(
        read_orthophotos(cut(scene, tmp_path, columns=1, rows=1)),
        card=CARD,
        detect=dark,
        options=DetectOptions(cell_px=512),
        on_cell=lambda done, total: heard.append((done, total)),
    )

    assert heard == [(number, found.cells) for number in range(1, found.cells + 1)]
    assert found.mpx == pytest.approx(found.cells * (512 + 128) ** 2 / 1e6)
    assert {"read", "detect", "vectorize", "measure", "overall"} <= set(found.speeds())


def test_cells_overlap_as_far_as_the_model_sees(scene: Scene, tmp_path: Path) -> None:
    found = survey_files(
        read_orthophotos(cut(scene, tmp_path, columns=1, rows=1)),
        card=CARD.model_copy(update={"reach_px": 100}),
        detect=dark,
        options=DetectOptions(cell_px=512),
    )
    assert found.mpx == pytest.approx(found.cells * (512 + 2 * 128) ** 2 / 1e6)


def test_imagery_beside_the_roads_is_refused(
    scene: Scene, segments: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    far = segments.assign(
        geometry=shapely.transform(segments.geometry.to_numpy(), lambda p: p + 1.0)
    )

    with pytest.raises(BadInput, match="shows none of the roads"):
        survey(cut(scene, tmp_path, columns=1, rows=1), far)


def test_an_error_of_a_cell_ends_the_survey(scene: Scene, tmp_path: Path) -> None:
    def broken(_: object) -> np.ndarray:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        survey_files(
            read_orthophotos(cut(scene, tmp_path, columns=1, rows=1)), card=CARD, detect=broken
        )
