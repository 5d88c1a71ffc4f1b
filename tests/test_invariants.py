"""What must always hold: density depends on the ground, not on tiles, cells, order, CRS or repetition."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from sqlalchemy import Engine

from drawn_surveys import WORK_RULES, Figures, figures, lay_survey, state
from pavemap.geo.crs import ground_scale
from pavemap.geo.roads.road_network import read_network
from pavemap.geo.roads.segments import segment_network
from pavemap.geo.storage import Storage
from pavemap.geo.store import planning
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.survey_cell import Detect
from pavemap.platform.file_survey.detect import DetectOptions, read_orthophotos, survey_files
from pavemap.serving.worker import CellWorker
from pavemap.training.inference import CrackModel
from pavemap.training.models.shipped_models import default_card, default_model_folder
from scenes import ORIGIN_X, ORIGIN_Y, UTM, Scene, cracked_strip, cut, warped

AGREE = 0.005
"""Lengths of the same ground agree within half a per cent."""

WEB_MERCATOR = CRS.from_epsg(3857)
US_FEET = CRS.from_epsg(2238)  # NAD83 / Florida North (ftUS)
DEGREES = CRS.from_epsg(4326)

Survey = Callable[..., tuple[SurveyRow, Figures]]


def dark(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A detector whose answer is known beforehand: the darker, the surer."""
    return np.clip(127 + 4 * (92 - chip[:, :, 0].astype(np.int16)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def shipped() -> Detect:
    """The network that ships, as `pavemap detect` uses it."""
    return CrackModel.load(default_model_folder(), threads=1).detect


@pytest.fixture(scope="module")
def scene() -> Scene:
    """4.8 m x 2.4 m of cracked ground."""
    return cracked_strip(2400, 1200)


@pytest.fixture
def survey(engine: Engine, tmp_path: Path) -> Survey:
    """Survey tiles with a detector, from planning to conditions, through the real store."""
    storage = Storage(str(tmp_path / "storage"))

    def run(
        scene: Scene, tiles: Sequence[Path], *, detect: Detect, cell_px: int = 512
    ) -> tuple[SurveyRow, Figures]:
        row = lay_survey(
            engine, storage=storage, scene=scene, folder=tmp_path, tiles=tiles, cell_px=cell_px
        )
        work_off(engine, storage, detect)
        assert state(engine, row) == "done"
        return row, figures(engine, row)

    return run


def work_off(engine: Engine, storage: Storage, detect: Detect) -> None:
    worker = CellWorker(
        engine, storage=storage, detect_with=lambda _: detect, name="one", rules=WORK_RULES
    )
    while worker.run_once():
        pass


def total_m(found: Figures) -> float:
    return sum(length for _, length, *_ in found.cracks)


def by_segment(found: Figures) -> NDArray[np.float64]:
    """Crack length, cracked area, imaged area, coverage and density of each segment."""
    return np.array(found.sums[:-1]).reshape(len(found.conditions), 5)


def folder(path: Path, name: str) -> Path:
    made = path / name
    made.mkdir()
    return made


def test_density_does_not_depend_on_cells_tiles_or_upload_order(
    survey: Survey, shipped: Detect, tmp_path: Path
) -> None:
    scene = cracked_strip(1600, 800)  # 3.2 m x 1.6 m: the network takes its time
    plain = cut(scene, folder(tmp_path, "plain"), columns=2, rows=1)
    _, reference = survey(scene, plain, detect=shipped)
    assert total_m(reference) > 3.0

    many = cut(scene, folder(tmp_path, "many"), columns=4, rows=3, overlap_px=90)
    shuffled = random.Random(3).sample(many, len(many))
    variants = {
        "larger cells": survey(scene, plain, detect=shipped, cell_px=1024)[1],
        "many overlapping tiles": survey(scene, many, detect=shipped)[1],
        "shuffled uploads": survey(scene, shuffled, detect=shipped, cell_px=768)[1],
    }
    for what, found in variants.items():
        assert total_m(found) == pytest.approx(total_m(reference), rel=AGREE), what
        lengths, expected = by_segment(found)[:, 0], by_segment(reference)[:, 0]
        np.testing.assert_allclose(lengths, expected, rtol=AGREE, atol=0.02, err_msg=what)
        np.testing.assert_allclose(
            by_segment(found)[:, 2], by_segment(reference)[:, 2], rtol=1e-3, err_msg=what
        )


def in_degrees(scene: Scene, path: Path) -> Path:
    """The scene in EPSG:4326."""
    west, south, east, north = Transformer.from_crs(UTM, DEGREES, always_xy=True).transform_bounds(
        ORIGIN_X, ORIGIN_Y - scene.size_m[1], ORIGIN_X + scene.size_m[0], ORIGIN_Y
    )
    width, height = 2600, 1300
    step = Affine((east - west) / width, 0, west, 0, (south - north) / height, north)
    return warped(scene, path, crs=DEGREES, transform=step, width=width, height=height)


def in_us_feet(scene: Scene, path: Path) -> Path:
    """The scene on a state plane in US survey feet."""
    return _in_projected(scene, path, US_FEET, pixel=0.002 * 3937 / 1200)


def in_web_mercator(scene: Scene, path: Path) -> Path:
    """The scene in web mercator, whose metres are longer than the ground's."""
    return _in_projected(scene, path, WEB_MERCATOR, pixel=0.0022)


def rotated(scene: Scene, path: Path) -> Path:
    """The scene with a geotransform turned by 20 degrees."""
    step = scene.transform @ Affine.translation(-398, 134) @ Affine.rotation(-20)
    return warped(scene, path, crs=UTM, transform=step, width=2690, height=1970)


def south_up(scene: Scene, path: Path) -> Path:
    """The scene with its rows from south to north."""
    flip = scene.transform @ Affine.translation(0, 1200) @ Affine.scale(1, -1)
    return warped(scene, path, crs=UTM, transform=flip, width=2400, height=1200)


def _in_projected(scene: Scene, path: Path, crs: CRS, *, pixel: float) -> Path:
    west, south, east, north = Transformer.from_crs(UTM, crs, always_xy=True).transform_bounds(
        ORIGIN_X, ORIGIN_Y - scene.size_m[1], ORIGIN_X + scene.size_m[0], ORIGIN_Y
    )
    step = Affine(pixel, 0, west, 0, -pixel, north)
    width, height = int((east - west) / pixel) + 1, int((north - south) / pixel) + 1
    return warped(scene, path, crs=crs, transform=step, width=width, height=height)


@pytest.mark.parametrize("form", [in_degrees, in_us_feet, in_web_mercator, rotated, south_up])
def test_every_crs_and_geotransform_gives_the_same_metres(
    form: Callable[[Scene, Path], Path], scene: Scene, survey: Survey, tmp_path: Path
) -> None:
    _, expected = survey(scene, cut(scene, folder(tmp_path, "utm"), columns=1, rows=1), detect=dark)
    _, found = survey(scene, [form(scene, tmp_path / "other.tif")], detect=dark)
    assert total_m(found) == pytest.approx(total_m(expected), rel=AGREE)
    np.testing.assert_allclose(by_segment(found)[:, 0], by_segment(expected)[:, 0], rtol=0.01)
    np.testing.assert_allclose(by_segment(found)[:, 2], by_segment(expected)[:, 2], rtol=0.01)


def test_lengths_are_those_that_were_drawn(survey: Survey, tmp_path: Path) -> None:
    scene = cracked_strip(2400, 1200, bend_px=25)  # a ruler lies straight
    _, found = survey(scene, cut(scene, folder(tmp_path, "tiles"), columns=2, rows=2), detect=dark)
    drawn_m = scene.crack_length_px * scene.gsd_m / ground_scale(UTM, ORIGIN_X, ORIGIN_Y)
    assert total_m(found) == pytest.approx(drawn_m, rel=0.02)


def test_a_server_and_detect_find_the_same_cracks(
    scene: Scene, survey: Survey, tmp_path: Path
) -> None:
    tiles = cut(scene, folder(tmp_path, "tiles"), columns=2, rows=1)
    _, served = survey(scene, tiles, detect=dark)
    alone = survey_files(
        read_orthophotos(tiles),
        card=default_card(),
        detect=dark,
        segments=segment_network(read_network(tmp_path / "roads.gpkg"), length_m=2.0),
        options=DetectOptions(crs=UTM, cell_px=768),
    )
    lengths = sorted(length for _, length, *_ in served.cracks)
    assert len(lengths) > 3
    assert sorted(alone.cracks["length_m"]) == pytest.approx(lengths, rel=0.005, abs=0.001)
    assert alone.crack_length_m == pytest.approx(by_segment(served)[:, 0].sum(), rel=0.001)
    assert alone.segments is not None
    cracked_m2 = alone.segments["cracked_area_m2"].sum()
    assert cracked_m2 == pytest.approx(by_segment(served)[:, 1].sum(), rel=0.001)


def test_running_a_finished_survey_again_changes_nothing(
    engine: Engine, scene: Scene, survey: Survey, tmp_path: Path
) -> None:
    tiles = cut(scene, folder(tmp_path, "tiles"), columns=2, rows=1)
    row, first = survey(scene, tiles, detect=dark)
    with database(engine) as conn:
        report = planning.plan_cells(conn, row)
    assert (report.added, report.redone, report.dropped) == (0, 0, 0)
    work_off(engine, Storage(str(tmp_path / "storage")), dark)
    figures(engine, row).assert_same(first)
