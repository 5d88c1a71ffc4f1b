"""Orthophotos: what is accepted and how it is understood; what is refused, with what advice."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from pavemap.geo.errors import BadInput, DamagedRaster, NotAGeoTiff, NotGeoreferenced
from pavemap.geo.errors import UnsupportedRaster as Unsupported
from pavemap.geo.imagery.orthophoto import Orthophoto, common_stretch
from pavemap.geo.imagery.raster import inspect
from rasters import GSD, LEFT, NORTH_UP, TOP, UTM, texture, write

SMALL = texture(60, 80)


def rgba(seen: slice) -> np.ndarray[Any, np.dtype[np.uint8]]:
    alpha = np.zeros((60, 80, 1), np.uint8)
    alpha[:, seen] = 255
    return np.concatenate([SMALL, alpha], axis=2)


# --- what is accepted -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "options", "band_use", "mask_kind"),
    [
        (SMALL, {}, "rgb", "none"),
        (SMALL, {"nodata": 0}, "rgb", "nodata"),
        (
            SMALL,
            {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "lzw"},
            "rgb",
            "none",
        ),
        (SMALL, {"interleave": "band", "BIGTIFF": "YES"}, "rgb", "none"),
        (SMALL[..., :1], {}, "gray", "none"),
        (SMALL[..., :2], {"ALPHA": "YES", "photometric": "minisblack"}, "gray", "alpha"),
        (rgba(slice(0, 40)), {"ALPHA": "YES", "photometric": "rgb"}, "rgb", "alpha"),
        (rgba(slice(0, 40)), {"ALPHA": "NO", "photometric": "rgb"}, "rgb", "none"),
        (SMALL.astype(np.uint16) * 16, {"NBITS": 12}, "rgb", "none"),
    ],
)
def test_bands_and_validity_are_understood(
    tmp_path: Path, image: Any, options: dict[str, Any], band_use: str, mask_kind: str
) -> None:
    photo = inspect(write(tmp_path / "a.tif", image, **options))
    assert (photo.band_use, photo.mask_kind) == (band_use, mask_kind)
    assert (photo.width, photo.height, photo.count) == (80, 60, image.shape[2])
    assert photo.dtype == str(image.dtype)
    assert (photo.stretch is None) == (photo.dtype == "uint8")


def test_a_no_data_value_that_pixels_cannot_have_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", SMALL, nodata=199)
    path.write_bytes(path.read_bytes().replace(b"199\0", b"-99\0"))
    assert inspect(path).mask_kind == "none"


def test_an_internal_mask_is_found(tmp_path: Path) -> None:
    mask = np.ones((60, 80), bool)
    assert inspect(write(tmp_path / "a.tif", SMALL, mask=mask)).mask_kind == "mask"


def test_a_second_band_is_no_data_once_it_is_labelled(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", SMALL[..., :2], photometric="minisblack")
    with rasterio.open(path, "r+") as target:
        target.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    photo = inspect(path)
    assert (photo.band_use, photo.mask_kind) == ("gray", "alpha")


def test_bands_are_read_by_their_meaning_not_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", SMALL)
    with rasterio.open(path, "r+") as target:
        target.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    assert inspect(path).band_use == "rgb"


FOOT = 1200 / 3937
FLORIDA_FEET = CRS.from_epsg(2236)
HERE_DEGREES = Transformer.from_crs(UTM, CRS.from_epsg(4326), always_xy=True).transform(LEFT, TOP)


@pytest.mark.parametrize(
    ("crs", "transform", "gsd_m", "tolerance"),
    [
        (UTM, NORTH_UP, GSD / 0.9996, 1e-6),
        (UTM, NORTH_UP @ Affine.rotation(33), GSD / 0.9996, 1e-6),
        (UTM, NORTH_UP @ Affine.scale(1, -1), GSD / 0.9996, 1e-6),
        (UTM, NORTH_UP @ Affine.scale(1, 3), 2 * GSD / 0.9996, 1e-6),
        (FLORIDA_FEET, Affine(0.02, 0, 656166.0, 0, -0.02, 500_000.0), 0.02 * FOOT, 1e-4),
        (
            CRS.from_epsg(4326),
            Affine(1e-7, 0, HERE_DEGREES[0], 0, -1e-7, HERE_DEGREES[1]),
            1e-7 * 111_320 * (1 + math.cos(math.radians(HERE_DEGREES[1]))) / 2,
            5e-3,
        ),
        (
            CRS.from_epsg(3857),
            Affine(0.01, 0, 1_000_000.0, 0, -0.01, 8_399_737.9),  # 60 degrees north
            0.005,
            5e-3,
        ),
    ],
    ids=["utm", "rotated", "south-up", "oblong", "feet", "degrees", "mercator"],
)
def test_pixel_size_is_in_ground_metres(
    tmp_path: Path, crs: CRS, transform: Affine, gsd_m: float, tolerance: float
) -> None:
    photo = inspect(write(tmp_path / "a.tif", SMALL, crs=crs, transform=transform))
    assert photo.gsd_m == pytest.approx(gsd_m, rel=tolerance)
    assert photo.transform == transform
    assert photo.crs == crs


def test_the_footprint_is_the_frame_in_degrees(tmp_path: Path) -> None:
    photo = inspect(write(tmp_path / "a.tif", SMALL))
    to_degrees = Transformer.from_crs(UTM, CRS.from_epsg(4326), always_xy=True)
    west, north = to_degrees.transform(LEFT, TOP)
    east, south = to_degrees.transform(LEFT + 80 * GSD, TOP - 60 * GSD)
    assert photo.footprint.bounds == pytest.approx((west, south, east, north), abs=1e-8)
    assert photo.outline(UTM).area == pytest.approx(80 * 60 * GSD**2)


def test_heights_in_the_crs_are_left_aside(tmp_path: Path) -> None:
    compound = CRS.from_user_input("EPSG:32633+5773")
    with rasterio.Env(GTIFF_REPORT_COMPD_CS=True):
        photo = inspect(write(tmp_path / "a.tif", SMALL, crs=compound))
    assert photo.crs == UTM


def test_the_description_survives_json(tmp_path: Path) -> None:
    image = SMALL.astype(np.uint16) * 200
    photo = inspect(write(tmp_path / "a.tif", image, transform=NORTH_UP @ Affine.rotation(5)))
    stored = json.loads(json.dumps(photo.to_dict()))
    assert "path" not in stored
    assert Orthophoto.from_dict(stored, path=photo.path) == photo


def test_a_name_of_ones_own_is_used_throughout(tmp_path: Path) -> None:
    path = write(tmp_path / "tmp123", SMALL, crs=None)
    with pytest.raises(NotGeoreferenced, match=r"^north\.tif has no CRS"):
        inspect(path, name="north.tif")


# --- 16 bit -----------------------------------------------------------------------------------------


def test_16_bit_stretch_ignores_no_data_and_outliers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(3000, 5001, (400, 500, 3)).astype(np.uint16)
    image[:, :100] = 0
    image[::40, ::40] = 65535
    photo = inspect(write(tmp_path / "a.tif", image, nodata=0))
    assert photo.stretch is not None
    assert len(set(photo.stretch)) == 1, "bands stretched apart would change the hue"
    black, white = photo.stretch[0]
    assert black == pytest.approx(3010 - 3 * 990, abs=40)
    assert (4000 - black) * 255 / (white - black) == pytest.approx(118, abs=1)


@pytest.mark.parametrize("paint", [0.0, 0.3])
def test_16_bit_shows_a_road_as_a_photograph_does_whatever_part_of_it_is_paint(
    tmp_path: Path, paint: float
) -> None:
    """In daylight asphalt is near 118, the darkest of its grain 30 below."""
    rng = np.random.default_rng(1)
    road = np.clip(rng.normal(118, 11.5, (400, 500, 3)), 0, 255)
    road[:, : int(paint * 500)] = 250
    photo = inspect(write(tmp_path / "a.tif", (road * 200).astype(np.uint16)))
    assert photo.stretch is not None
    black, white = photo.stretch[0]
    shown = (road * 200 - black) * 255 / (white - black)
    asphalt = shown[:, int(paint * 500) :]
    assert asphalt.mean() == pytest.approx(118, abs=8)
    assert asphalt.std() == pytest.approx(11.5, rel=0.15)


@pytest.mark.parametrize("value", [0, 7, 4000])
def test_16_bit_stretch_of_nothing_is_unknown(tmp_path: Path, value: int) -> None:
    """No-data alone, or one value alone, says nothing of how bright a road is."""
    image = np.full((60, 80, 1), value, np.uint16)
    photo = inspect(write(tmp_path / "a.tif", image, nodata=0))
    assert photo.stretch is None
    assert common_stretch([photo]) == (0.0, 65536.0)
    (warning,) = photo.warnings(photo.gsd_m)
    assert "as bright as the survey's other files make it" in warning
    assert Orthophoto.from_dict(photo.to_dict(), path=photo.path) == photo


def test_16_bit_stretch_finds_a_narrow_corridor(tmp_path: Path) -> None:
    """A strip along the diagonal, 100 pixels wide, which passes between the windows of the first sample."""
    rng = np.random.default_rng(1)
    row, column = np.mgrid[0:3000, 0:3000]
    image = rng.integers(3000, 5001, (3000, 3000)).astype(np.uint16)
    image[np.abs(column - row - 205) > 70] = 0
    photo = inspect(write(tmp_path / "a.tif", image[..., None], nodata=0, compress="deflate"))
    assert photo.stretch is not None
    black, white = photo.stretch[0]
    assert black == pytest.approx(3010 - 3 * 990, abs=60)
    assert (4000 - black) * 255 / (white - black) == pytest.approx(118, abs=2)


@pytest.mark.parametrize(
    ("collar", "options"),
    [
        (0, {}),
        (0, {"nodata": 65535}),
        (65535, {}),
        (65535, {"nodata": 0}),
        (4095, {"NBITS": 12, "nodata": 0}),
    ],
)
def test_16_bit_stretch_leaves_out_what_is_empty_though_nothing_marks_it(
    tmp_path: Path, collar: int, options: dict[str, Any]
) -> None:
    image = np.random.default_rng(1).integers(3000, 4001, (400, 500, 3)).astype(np.uint16)
    ground = inspect(write(tmp_path / "a.tif", image)).stretch
    image[:, :275] = collar
    photo = inspect(write(tmp_path / "b.tif", image, **options))
    assert photo.stretch is not None
    assert ground is not None
    assert photo.stretch[0] == pytest.approx(ground[0], abs=10)
    assert photo.empty_border == collar


@pytest.mark.parametrize("ends", [(0.0, 65535.0), (0.0, 1.0), (700.0, 701.0)])
def test_a_stretch_that_was_stored_for_want_of_a_sample_is_unknown(
    tmp_path: Path, ends: tuple[float, float]
) -> None:
    photo = inspect(write(tmp_path / "a.tif", SMALL.astype(np.uint16) * 200))
    earlier = {**photo.to_dict(), "stretch": [list(ends)] * 3}
    assert Orthophoto.from_dict(earlier, path=photo.path).stretch is None


# --- warnings ---------------------------------------------------------------------------------------


def test_a_gsd_far_from_the_models_says_what_can_be_seen(tmp_path: Path) -> None:
    photo = inspect(write(tmp_path / "a.tif", SMALL))  # 10 mm
    assert photo.warnings(0.01) == []
    assert photo.warnings(0.007) == []
    (coarse,) = photo.warnings(0.002)
    assert "5.0 times coarser" in coarse
    assert "narrower than about 20 mm" in coarse
    (fine,) = photo.warnings(0.02)
    assert "2.0 times finer" in fine
    assert "narrower than about 40 mm" in fine


def test_an_unlabelled_fourth_band_is_mentioned(tmp_path: Path) -> None:
    photo = inspect(write(tmp_path / "a.tif", rgba(slice(0, 40)), photometric="rgb"))
    (warning,) = photo.warnings(photo.gsd_m)
    assert "fourth band is not labelled alpha" in warning


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize(
    ("dtype", "value", "says"),
    [
        ("uint8", 0, "pure black"),
        ("uint8", 255, r"pure white.*-a_nodata 255"),
        ("uint16", 0, "pure black"),
        ("uint16", 65535, r"pure white.*-a_nodata 65535"),
    ],
)
def test_an_empty_border_that_nothing_marks_is_mentioned(
    tmp_path: Path, bands: int, dtype: str, value: int, says: str
) -> None:
    image = texture(300, 400, bands=bands).astype(dtype)
    image[:120] = value
    (warning,) = inspect(write(tmp_path / "a.tif", image)).warnings(GSD)
    assert re.search(says, warning)
    assert "the empty border counts as imaged" in warning
    marked = inspect(write(tmp_path / "b.tif", image, nodata=value))
    assert marked.warnings(marked.gsd_m) == []


def with_opaque_alpha(path: Path, image: np.ndarray[Any, Any]) -> Path:
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    return write(path, np.concatenate([image, alpha], axis=2), ALPHA="YES", photometric="rgb")


def with_whole_mask(path: Path, image: np.ndarray[Any, Any]) -> Path:
    return write(path, image, mask=np.ones(image.shape[:2], bool))


def with_other_no_data(path: Path, image: np.ndarray[Any, Any]) -> Path:
    return write(path, image, nodata=255)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (with_opaque_alpha, "gdal_translate -a_nodata 0, or an alpha band"),
        (with_whole_mask, "gdal_translate -a_nodata 0, or an alpha band"),
        (with_other_no_data, "gdal_translate -a_nodata 0, or an alpha band"),
    ],
)
def test_an_empty_border_that_the_marker_misses_is_mentioned(
    tmp_path: Path, make: Callable[[Path, np.ndarray[Any, Any]], Path], advice: str
) -> None:
    image = texture(300, 400)
    image[:120] = 0
    (warning,) = inspect(make(tmp_path / "a.tif", image)).warnings(GSD)
    assert "much of its border is pure black" in warning
    assert advice in warning


def test_near_infrared_labelled_alpha_is_mentioned(tmp_path: Path) -> None:
    """Whoever writes four bands with GDAL, and says no more, labels the last one alpha."""
    infrared = write(tmp_path / "a.tif", texture(300, 400, bands=4), ALPHA="YES", photometric="rgb")
    (warning,) = inspect(infrared).warnings(GSD)
    assert "counts as not imaged where it is 0" in warning
    assert "-colorinterp_4 undefined" in warning


def test_an_alpha_that_fades_at_the_edge_or_was_compressed_is_one(tmp_path: Path) -> None:
    image = texture(300, 400, bands=4)
    image[:, :, 3] = 252 + image[:, :, 3] % 4
    image[:, :80, 3] = np.linspace(0, 255, 80)
    photo = inspect(write(tmp_path / "a.tif", image, ALPHA="YES", photometric="rgb"))
    assert photo.mask_kind == "alpha"
    assert photo.warnings(GSD) == []


def test_what_the_marker_marks_is_no_empty_border(tmp_path: Path) -> None:
    image = texture(300, 400)
    image[:120] = 0
    seen = np.ones((300, 400), bool)
    seen[:120] = False
    assert inspect(write(tmp_path / "a.tif", image, mask=seen)).empty_border is None


def test_the_corners_of_a_turned_mosaic_are_an_empty_border(tmp_path: Path) -> None:
    image = texture(1500, 1500)
    row, column = np.mgrid[0:1500, 0:1500]
    image[row + column < 700] = 0
    assert inspect(write(tmp_path / "a.tif", image)).empty_border == 0


def dark_middle(image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    image[300:1200, 300:1200] = 0


def shadow_with_grain(image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    image[:600] //= 100


def line_of_paint(image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    image[:75] = 255


def corner(image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    image[:180, :180] = 0


def blue_only(image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    image[:600, :, :2] = 0


@pytest.mark.parametrize("draw", [dark_middle, shadow_with_grain, line_of_paint, corner, blue_only])
def test_shadows_and_paint_are_no_empty_border(
    tmp_path: Path, draw: Callable[[np.ndarray[Any, np.dtype[np.uint8]]], None]
) -> None:
    image = texture(1500, 1500)
    draw(image)
    assert inspect(write(tmp_path / "a.tif", image)).empty_border is None


def test_what_was_described_before_empty_borders_were_looked_for_has_none(tmp_path: Path) -> None:
    photo = inspect(write(tmp_path / "a.tif", SMALL))
    earlier = {name: each for name, each in photo.to_dict().items() if name != "empty_border"}
    assert Orthophoto.from_dict(earlier, path=photo.path) == photo


# --- what is refused --------------------------------------------------------------------------------


def ground_control_only(path: Path) -> Path:
    write(path, SMALL, crs=None, transform=Affine.identity())
    corners = ((0, 0), (0, 80), (60, 80), (60, 0))
    points = [
        GroundControlPoint(row, col, LEFT + col * GSD, TOP - row * GSD) for row, col in corners
    ]
    with rasterio.open(path, "r+") as target:
        target.gcps = (points, rasterio.CRS.from_wkt(UTM.to_wkt()))
    return path


def polynomials_only(path: Path) -> Path:
    """As a satellite's or an aircraft's camera gives it, with where it looked."""
    write(path, SMALL, crs=None, transform=Affine.identity())
    one = [1.0, *[0.0] * 19]
    with rasterio.open(path, "r+") as target:
        target.rpcs = RPC(
            height_off=0.0,
            height_scale=500.0,
            lat_off=49.65,
            lat_scale=0.01,
            line_den_coeff=one,
            line_num_coeff=[0.0, 0.0, -1.0, *[0.0] * 17],
            line_off=30.0,
            line_scale=30.0,
            long_off=15.0,
            long_scale=0.01,
            samp_den_coeff=one,
            samp_num_coeff=[0.0, 1.0, *[0.0] * 18],
            samp_off=40.0,
            samp_scale=40.0,
            err_bias=None,
            err_rand=None,
        )
    return path


def world_file_only(path: Path) -> Path:
    write(path, SMALL, crs=None, transform=Affine.identity())
    path.with_suffix(".tfw").write_text(f"{GSD}\n0\n0\n{-GSD}\n{LEFT}\n{TOP}\n")
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # while writing them
@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda p: write(p, SMALL, crs=None), "has no CRS; assign"),
        (lambda p: write(p, SMALL, transform=Affine.identity()), "no usable pixel size"),
        (
            lambda p: write(p, SMALL, crs=None, transform=Affine.identity()),
            "has no CRS, nor a pixel",
        ),
        (world_file_only, "has no CRS, nor .* put its world file and its CRS into it: .* -a_srs"),
        (ground_control_only, "points but is not rectified; run gdalwarp on"),
        (polynomials_only, r"RPCs .* is not rectified; run gdalwarp -rpc on .* RPC_DEM=<file>"),
        (
            lambda p: write(p, SMALL, crs=CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')),
            "does not lead to a place on the Earth",
        ),
        (
            lambda p: write(p, SMALL, crs=CRS.from_epsg(4326)),
            "outside the area of its CRS",
        ),
        (
            lambda p: write(p, SMALL, transform=Affine(0.01, 0, 9e7, 0, -0.01, 0)),
            "outside the area of its CRS",
        ),
        (
            lambda p: write(
                p,
                SMALL,
                crs=CRS.from_proj4("+proj=utm +zone=33 +ellps=bessel +nadgrids=/etc/passwd"),
            ),
            "does not lead|datum grid file|has no CRS",
        ),
    ],
    ids=[
        "no-crs",
        "identity",
        "nothing",
        "world-file",
        "gcps",
        "rpcs",
        "local",
        "not-degrees",
        "far-off",
        "grid-file",
    ],
)
def test_without_a_usable_place_on_earth_it_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], advice: str
) -> None:
    with pytest.raises(NotGeoreferenced, match=advice):
        inspect(make(tmp_path / "a.tif"))


def palette(path: Path) -> Path:
    write(path, SMALL[..., :1], photometric="palette")
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {0: (0, 0, 0, 255), 200: (90, 90, 90, 255)})
    return path


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda p: write(p, SMALL.astype(np.float32)), "float32 pixels; .* -ot Byte"),
        (lambda p: write(p, SMALL.astype(np.int16)), "int16 pixels"),
        (lambda p: write(p, np.repeat(SMALL, 2, 2)), "6 bands .* -b 1 -b 2 -b 3"),
        (lambda p: write(p, SMALL[..., :2]), "2 bands .* -colorinterp_2 alpha.* -b 1\\)$"),
        (lambda p: write(p, rgba(slice(9)).astype(np.uint16), photometric="cmyk"), "CMYK"),
        (lambda p: write(p, SMALL[..., :1] // 16, NBITS=4), "few tones"),
        (lambda p: write(p, SMALL[..., :1], photometric="miniswhite"), "inverted"),
        (palette, "-expand rgb"),
    ],
    ids=["float", "signed", "six", "two", "cmyk", "bits", "white-is-0", "palette"],
)
def test_pixels_that_are_no_picture_are_refused(
    tmp_path: Path, make: Callable[[Path], Path], advice: str
) -> None:
    with pytest.raises(Unsupported, match=advice):
        inspect(make(tmp_path / "a.tif"))


VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>/etc/hostname</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"", "is empty"),
        (b"just text", "not a TIFF file"),
        (b"/etc/passwd", "not a TIFF file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "JPEG image"),
        (VRT.encode(), "virtual raster"),
        (b"\n  " + VRT.encode(), "virtual raster"),
        (b"II*\0" + bytes(60), "can't be read as a GeoTIFF"),
        (b"II*\0", "can't be read as a GeoTIFF"),
    ],
)
def test_what_only_looks_like_a_geotiff_is_refused(
    tmp_path: Path, content: bytes, advice: str
) -> None:
    path = tmp_path / "ortho.tif"
    path.write_bytes(content)
    with pytest.raises(NotAGeoTiff, match=advice):
        inspect(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        inspect(tmp_path / "none.tif")
    with pytest.raises(BadInput, match="there is no file"):
        inspect(tmp_path)


def test_a_name_that_speaks_of_networks_blames_no_network(tmp_path: Path) -> None:
    path = tmp_path / "connect HTTP error curl.tif"
    path.write_bytes(b"II*\0" + bytes(60))
    with pytest.raises(NotAGeoTiff):
        inspect(path)


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95, 0.999])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"compress": "deflate"},
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "zstd"},
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band"},
        {"driver": "COG"},
    ],
    ids=["raw strips", "strips", "tiles", "planes", "cog"],
)
def test_a_truncated_file_is_refused(tmp_path: Path, layout: dict[str, Any], kept: float) -> None:
    path = write(tmp_path / "a.tif", texture(500, 600), **layout)
    inspect(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises((DamagedRaster, NotAGeoTiff), match=r"cut off|can't be read"):
        inspect(path)


def test_garbled_content_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", texture(64, 64), compress="deflate", blockysize=64)
    content = bytearray(path.read_bytes())
    content[-11_900:] = b"\xff" * 11_900
    path.write_bytes(content)
    with pytest.raises(DamagedRaster, match="is damaged"):
        inspect(path)


def test_several_images_in_one_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", SMALL)
    write(path, SMALL, APPEND_SUBDATASET=True)
    with pytest.raises(Unsupported, match="holds 2 images"):
        inspect(path)
