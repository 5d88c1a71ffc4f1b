"""The map picture shows imagery, segments and the worst place, and copes with what is missing."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import geopandas as gpd
import matplotlib.image
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pavemap.geo.crs import WGS84
from pavemap.geo.grid import Grid, Window
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.raster import inspect
from pavemap.platform.exports.styling import density_classes
from pavemap.platform.file_survey.seen_ground import SeenGround, seen_ground
from pavemap.platform.maps import cartography, map_text
from pavemap.platform.maps.cartography import overview
from pavemap.platform.maps.map_closeup import centred, densest
from pavemap.platform.maps.map_picture import _sealed, draw_map
from rasters import write
from scenes import ORIGIN_X, ORIGIN_Y, UTM, Scene, asphalt, cut


@pytest.fixture
def mosaic(tmp_path: Path) -> Mosaic:
    """Ground of 8 m x 3 m at 1 cm a pixel, in two tiles."""
    scene = Scene(asphalt(800, 300), gsd_m=0.01)
    return Mosaic([inspect(path) for path in cut(scene, tmp_path, columns=2, rows=1)], UTM)


def segments() -> gpd.GeoDataFrame:
    """Three segments of 4 m, the last one beyond the imagery."""
    boxes = [shapely.box(ORIGIN_X + x, ORIGIN_Y - 3, ORIGIN_X + x + 4, ORIGIN_Y) for x in (0, 4, 8)]
    return gpd.GeoDataFrame(
        {
            "name": ["Main Street", "Main $\\alpha_$ Street", None],
            "from_m": [0.0, 4.0, 8.0],
            "to_m": [4.0, 8.0, 12.0],
            "density_m_per_m2": [0.1, 0.9, None],
        },
        geometry=boxes,
        crs=UTM,
    ).to_crs(4326)


def ground_of(mosaic: Mosaic) -> SeenGround:
    """All pixels that are imagery, at 1 cm, up to its very edge."""
    return seen_ground(mosaic, Grid(UTM, 0.01, cell_px=256), edge_px=0)


def cracks() -> gpd.GeoDataFrame:
    """A crack across the middle of the second segment."""
    line = shapely.LineString([(ORIGIN_X + 6, ORIGIN_Y - 3, 4), (ORIGIN_X + 6, ORIGIN_Y, 4)])
    return gpd.GeoDataFrame(geometry=[line], crs=UTM).to_crs(4326)


def drawn(path: Path) -> NDArray[np.float32]:
    picture: NDArray[np.float32] = matplotlib.image.imread(path)
    return picture


def test_a_survey_becomes_a_picture(mosaic: Mosaic, tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    draw_map(
        path,
        mosaic=mosaic,
        seen=ground_of(mosaic),
        cracks=cracks(),
        segments=segments(),
        title="A $x_$ B",
    )

    picture = drawn(path)
    assert picture.shape[1] == 1820
    red = (picture[..., 0] > 0.8) & (picture[..., 1] < 0.2)
    assert red.sum() > 300  # the crack, in the panel that looks at the worst segment


def filled(monkeypatch: pytest.MonkeyPatch) -> dict[bool, float]:
    """Areas that a map draws, in square metres: hatched, and coloured by density."""
    areas_m2 = {False: 0.0, True: 0.0}
    areas = cartography.areas

    def noted(axes: Any, polygons: Any, colours: Any, *, hatched: bool = False) -> None:
        areas_m2[hatched] += float(shapely.area(polygons).sum())
        areas(axes, polygons, colours, hatched=hatched)

    monkeypatch.setattr(cartography, "areas", noted)
    return areas_m2


def test_no_seams_show_where_cells_meet() -> None:
    """Two cells whose outlines stray by a pixel of 1 cm along the side that they share."""
    segment = np.array([shapely.box(0, 0, 10, 4)])
    left, right = shapely.box(0, 0, 5, 3), shapely.Polygon([(5, 0), (10, 0), (10, 3), (5.01, 3)])
    sealed = _sealed(np.array([left | right]), segment, by_m=0.02)
    assert shapely.get_num_geometries(sealed).tolist() == [1]
    assert shapely.area(sealed)[0] == pytest.approx(30.0, abs=1e-6)


def test_what_was_not_seen_of_a_segment_is_hatched_and_too_little_of_it_is_said(
    mosaic: Mosaic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    areas_m2, bars = filled(monkeypatch), cartography.bars

    def heard(axes: Any, values: Any, labels: Any, colours: Any, *, title: str) -> None:
        said.extend(name + tail for name, tail in labels)
        bars(axes, values, labels, colours, title=title)

    monkeypatch.setattr(cartography, "bars", heard)
    half_seen = segments().assign(density_m_per_m2=[0.0, 0.9, 0.9], confident=[True, True, False])
    half_seen.geometry = gpd.GeoSeries(
        [
            shapely.box(ORIGIN_X + x, ORIGIN_Y - 3, ORIGIN_X + x + 4, ORIGIN_Y)
            for x in (-2.0, 2.0, 6.0)
        ],
        crs=UTM,
    ).to_crs(4326)
    draw_map(
        tmp_path / "map.png",
        mosaic=mosaic,
        seen=ground_of(mosaic),
        cracks=cracks(),
        segments=half_seen,
        title="Half",
    )
    assert areas_m2[False] == pytest.approx(24.0, rel=0.01)
    assert areas_m2[True] == pytest.approx(12.0, rel=0.01)
    assert said[1].startswith("Road, 8")
    assert [label.endswith("(too little of it was seen)") for label in said] == [False, True]


def test_ground_that_a_file_covers_without_showing_it_is_hatched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tile over all of two segments, clear beyond its first metre in 3 m from above."""
    areas_m2 = filled(monkeypatch)
    image = np.full((300, 800, 4), 120, np.uint8)
    image[:, :, 3] = 0
    image[:100, :, 3] = 255
    at = Affine(0.01, 0, ORIGIN_X, 0, -0.01, ORIGIN_Y)
    tile = write(tmp_path / "t.tif", image, transform=at, crs=UTM)
    mosaic = Mosaic([inspect(tile)], UTM)
    draw_map(
        tmp_path / "map.png",
        mosaic=mosaic,
        seen=ground_of(mosaic),
        cracks=cracks(),
        segments=segments(),
        title="Masked",
    )
    assert areas_m2[False] == pytest.approx(8.0, abs=0.2), "to within two pixels of 8 m of edge"
    assert areas_m2[True] == pytest.approx(16.0 + 12.0, abs=0.2)


def test_long_names_leave_room_for_what_follows_them(
    mosaic: Mosaic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    save = Figure.savefig

    def saved(figure: Figure, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    # One character is not in DejaVu Sans, but in STIXGeneral, which comes with matplotlib too.
    monkeypatch.setattr(map_text, "FURTHER_FONTS", ("STIXGeneral",))
    motorway = "Bundesautobahn A 100 Berliner Stadtring zwischen Dreieck und Kreuz"
    named = segments().assign(
        name=["\u1d81", motorway, "\u6771"],
        from_m=[0.0, 12345.0, 8.0],
        to_m=[4.0, 12445.0, 12.0],
        density_m_per_m2=[0.0021, 0.0043, 0.001],
        confident=[True, False, True],
    )
    lacking = draw_map(
        tmp_path / "map.png",
        mosaic=mosaic,
        seen=ground_of(mosaic),
        cracks=cracks(),
        segments=named,
        title="2026-05-12_" + 3 * motorway,
        subtitle=5 * motorway,
    )
    assert lacking == "\u6771"
    (figure,) = figures
    written = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    for text in written:
        assert text.get_window_extent().x1 < figure.bbox.width, text.get_text()
    texts = [text.get_text() for text in written]
    assert {"\u1d81, 0–4 m", "0.0043", "0.0021", "0.001"} <= set(texts)
    (label,) = (text for text in texts if "12345" in text)
    assert label.startswith("Bund")
    assert label.endswith("…, 12345–12445 m (too little of it was seen)")


@pytest.mark.parametrize(("apart_m", "shows"), [(2_000.0, True), (20_000.0, False)])
def test_a_long_survey_is_a_picture_too(tmp_path: Path, apart_m: float, shows: bool) -> None:
    """Imagery is shown up to some kilometre across at 2 mm, and where it lies beyond."""
    tiles = []
    for number, place_m in enumerate((0.0, apart_m)):
        scene = Scene(asphalt(400, 400), gsd_m=0.01)
        folder = tmp_path / str(number)
        folder.mkdir()
        (path,) = cut(scene, folder, columns=1, rows=1)
        with rasterio.open(path, "r+") as dataset:
            dataset.transform = Affine.translation(place_m, 0.0) @ dataset.transform
        tiles.append(inspect(path))
    mosaic = Mosaic(tiles, UTM)
    near = gpd.GeoSeries(
        [
            shapely.LineString([(ORIGIN_X + x, ORIGIN_Y - 2), (ORIGIN_X + x + 1, ORIGIN_Y - 1)])
            for x in (1.0, apart_m + 1.0)
        ],
        crs=UTM,
    )
    draw_map(
        tmp_path / "map.png",
        mosaic=mosaic,
        seen=ground_of(mosaic),
        cracks=gpd.GeoDataFrame(geometry=near).to_crs(4326),
        title="Ring road",
    )
    assert drawn(tmp_path / "map.png").std() > 0.05
    window = Window(UTM, ORIGIN_X - 5.0, ORIGIN_Y + 5.0, apart_m / 1700, 1722, 8)
    seen = overview(mosaic, window)
    assert (seen is not None) == shows
    if seen is not None:
        grey = seen[..., 0][seen[..., 3] > 0]
        assert 0 < grey.size <= 32
        assert abs(int(grey.min()) - int(grey.max())) < 30, "no darker where it ends"


def test_oblong_pixels_of_degrees_are_shown_too(tmp_path: Path) -> None:
    """At 60° N a square pixel of degrees is half as wide as high on the ground."""
    degrees = Affine(2e-8, 0, 15.0, 0, -2e-8, 60.0)
    image = np.full((800, 800, 3), 120, np.uint8)
    photo = inspect(write(tmp_path / "t.tif", image, transform=degrees, crs=WGS84))
    mosaic = Mosaic([photo], UTM)
    x, y = shapely.get_coordinates(photo.outline(UTM).centroid)[0]
    for gsd in (0.05, 0.1, 0.13, 0.2):
        seen = overview(mosaic, Window(UTM, x - 20 * gsd, y + 20 * gsd, gsd, 40, 40))
        assert seen is not None
        assert seen[..., 3].max() == 255


def test_without_roads_it_shows_imagery_and_cracks(mosaic: Mosaic, tmp_path: Path) -> None:
    draw_map(
        tmp_path / "map.png", mosaic=mosaic, seen=ground_of(mosaic), cracks=cracks(), title="A tile"
    )

    assert drawn(tmp_path / "map.png").std() > 0.1


def test_a_map_that_could_not_be_drawn_leaves_the_former_one(
    mosaic: Mosaic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Figure, file: Path, **__: Any) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "map.png").write_bytes(b"the former")
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="No space"):
        draw_map(
            tmp_path / "map.png", mosaic=mosaic, seen=ground_of(mosaic), cracks=cracks(), title=""
        )
    assert [each.read_bytes() for each in tmp_path.glob("map*")] == [b"the former"]


def test_nothing_found_is_a_picture_too(mosaic: Mosaic, tmp_path: Path) -> None:
    none = cracks().iloc[:0]
    sound = segments().assign(density_m_per_m2=[0.0, 0.0, None])
    draw_map(
        tmp_path / "map.png",
        mosaic=mosaic,
        seen=ground_of(mosaic),
        cracks=none,
        segments=sound,
        title="Sound",
    )

    assert drawn(tmp_path / "map.png").std() > 0.1


def test_the_worst_place_is_where_most_points_are() -> None:
    far = np.array([[0.0, 0.0], [100.0, 100.0]])
    crowd = np.array([[50.0, 20.0]]) + np.linspace(0.0, 1.0, 20)[:, None]

    centre = densest(np.concatenate([far, crowd]), 8.0, np.array([shapely.box(0, 0, 100, 100)]))

    assert np.abs(centre - [50.5, 20.5]).max() <= 4.0


def test_the_worst_place_keeps_to_the_ground() -> None:
    """A crack up to the border at x = 10: the square that holds it does not look beyond."""
    crack = np.column_stack([np.linspace(4.0, 10.0, 61), np.full(61, 50.0)])

    centre = densest(crack, 8.0, np.array([shapely.box(0, 0, 10, 100)]))

    assert centre[0] + 4.0 <= 10.0 + 2.0
    assert centre[0] - 4.0 <= 4.0


def test_the_close_look_has_its_crack_in_the_middle() -> None:
    """A crack along y = 20: squares that hold it reach as far below as above, where there is imagery."""
    crack = np.column_stack([np.linspace(40.0, 45.0, 51), np.full(51, 20.0)])
    ground = np.array([shapely.box(0, 0, 100, 100)])

    centre = centred(densest(crack, 8.0, ground), crack, 8.0, ground)

    assert centre == pytest.approx([42.5, 20.0])


def test_the_close_look_keeps_to_the_imagery() -> None:
    """A crack 10 cm above the imagery's lower edge: the square is not half empty for its sake."""
    crack = np.column_stack([np.linspace(40.0, 45.0, 51), np.full(51, 0.1)])
    imagery = np.array([shapely.box(0, 0, 100, 100)])

    centre = centred(densest(crack, 8.0, imagery), crack, 8.0, imagery)

    assert centre[0] == pytest.approx(42.5)
    assert centre[1] == pytest.approx(4.0, abs=0.5)


@pytest.mark.parametrize("lies", ["right", "middle", "everywhere"])
def test_the_legend_hides_as_little_as_can_be(lies: str) -> None:
    """A number in the upper right corner, and cracks along the lower edge."""
    figure = Figure(figsize=(12, 4), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 12), ylim=(0, 4))
    low = {"right": (10.0, 12.0), "middle": (5.0, 7.0), "everywhere": (0.0, 12.0)}[lies]
    x = np.linspace(*low, 100)
    cracks = np.column_stack([x, np.full(100, 0.5)])
    number = np.array([[11.5, 3.5]])
    cartography.legend(axes, density_classes([0.1, 0.9]), clear_of=[number, cracks])

    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    hidden = [
        int(sum(box.contains(x, y) for x, y in axes.transData.transform(points)))
        for points in (number, cracks)
    ]
    assert hidden == [0, 0]
