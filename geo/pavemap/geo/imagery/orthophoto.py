"""One orthophoto of a survey: where its pixels lie and how they are to be read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, Self, cast

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS, Transformer

from pavemap.geo.arrays import Bools, Floats
from pavemap.geo.crs import MOST_UNEVEN, crs_text, unevenness, working_crs, wrapped
from pavemap.geo.errors import BadInput

BandUse = Literal["gray", "rgb"]
MaskKind = Literal["none", "nodata", "alpha", "mask"]
Stretch = tuple[tuple[float, float], ...]

WHOLE_RANGE = (0.0, 65535.0)
"""The stretch of 16 bits where no file of a survey says how bright its roads are."""

FAR_GSD = 1.5
"""Beyond this ratio between the imagery's and the model's pixel, a warning says what can be seen."""

BLIND_GSD = 16.0
"""Pixels so many times coarser than a survey's show no crack: what is two of them wide is none."""

COARSER = 1.05
"""How much coarser than a model's range imagery may be: what projections do to a pixel's size."""

STRETCH_STEPS = 8
"""A common stretch ends at eighths of an octave, so that another file seldom moves it."""

OUTLINE_POINTS = 16
"""Points per side of an outline, so that a straight edge stays on the ground in another CRS."""


@dataclass(frozen=True)
class Orthophoto:
    """A georeferenced raster that passed `inspect`, and all that reading it needs to know.

    `transform` maps (column, row) corners to `crs` coordinates and may rotate or flip. `gsd_m` is in
    true ground metres, the mean of the two axes at the centre. `footprint` is the outline in degrees
    (EPSG:4326; longitudes beyond 180 where it crosses the antimeridian). `stretch` has, per picture
    band of a 16 bit file, the values that become 0 and 255; None where a sample showed no imagery, and
    for 8 bits. `empty_border` is the value of a border that is empty and not marked as no-data, if there
    is one; `picture_alpha` tells that the band labelled alpha looks like one of a picture.
    `stored_bytes` is the size of the file in storage, and of another size it is not whole; None where it
    isn't in storage, or was stored before that was noted.
    """

    name: str
    path: str
    crs: CRS
    transform: Affine
    width: int
    height: int
    count: int
    dtype: Literal["uint8", "uint16"]
    gsd_m: float
    footprint: shapely.Polygon
    band_use: BandUse
    mask_kind: MaskKind
    stretch: Stretch | None = None
    empty_border: int | None = None
    picture_alpha: bool = False
    stored_bytes: int | None = None

    @property
    def precedence(self) -> tuple[float, str, str]:
        """What a mosaic sorts by, the first on top: pixel size, then name."""
        return comparable_gsd(self.gsd_m), self.name, self.path

    def outline(self, crs: CRS) -> shapely.Polygon:
        """Return the raster's frame, no-data included, in a CRS (x before y)."""
        return outline(self.transform, self.width, self.height, source=self.crs, target=crs)

    def is_framed_as(self, *, width: int, height: int, count: int, transform: Affine) -> bool:
        """Tell whether a raster of such size, bands and place is this one, or less than a pixel off."""
        if (width, height, count) != (self.width, self.height, self.count):
            return False
        corners = np.array([[0.0, width, 0.0], [0.0, 0.0, height]])
        found = np.array(mapped(~self.transform @ transform, *corners))
        return bool(np.abs(found - corners).max() < 1.0)

    def warnings(self, gsd_m: float) -> list[str]:
        """Say what a model of pixel size `gsd_m` (ground metres) will and won't see here."""
        found = []
        ratio = self.gsd_m / gsd_m
        if max(ratio, 1.0 / ratio) > FAR_GSD:
            which = "coarser" if ratio > 1.0 else "finer"
            found.append(
                f"pixels of {_mm(self.gsd_m)} are {max(ratio, 1.0 / ratio):.1f} times {which} than the "
                f"{_mm(gsd_m)} the model was made for: cracks narrower than about "
                f"{_mm(2.0 * max(self.gsd_m, gsd_m))} (2 pixels) can't be seen"
            )
        if self.count == 4 and self.mask_kind != "alpha":
            found.append(
                "the fourth band is not labelled alpha and is left out; if it marks no-data, label it "
                "(gdal_edit.py -colorinterp_4 alpha) or the empty border counts as imaged"
            )
        if self.picture_alpha:
            mend = (
                "gdal_edit.py -colorinterp_4 undefined"
                if self.count == 4
                else "gdal_translate -b 1"
            )
            found.append(
                "the band labelled alpha has many values, as a picture has (near infrared?), and ground "
                f"counts as not imaged where it is 0; if it is no alpha, take that away ({mend})"
            )
        if self.empty_border is not None:
            colour = "black" if self.empty_border == 0 else "white"
            found.append(
                f"much of its border is pure {colour}, and nothing marks that as no-data: the empty border "
                "counts as imaged; unless it shows ground, mark it (gdal_translate -a_nodata "
                f"{self.empty_border}, or an alpha band: nearblack -setalpha)"
            )
        if self.dtype == "uint16" and self.stretch is None:
            found.append(
                "hardly any imagery was found in a sample of its 16 bit pixels, so it is as bright as the "
                "survey's other files make it, and much too dark if there are none: leave it out if it is "
                "empty, else cut it to its imagery (gdal_translate -srcwin)"
            )
        return found

    def check_pixels(self, gsd_m: float) -> None:
        """Raise BadInput where a survey with pixels of `gsd_m` (ground metres) would see no crack here."""
        ratio = self.gsd_m / gsd_m
        if ratio > BLIND_GSD:
            raise BadInput(
                f"{self.name} has pixels of {_mm(self.gsd_m)}, {ratio:,.0f} times those of the survey "
                f"({_mm(gsd_m)}): no crack can be seen in them, and its ground would pass for sound; take "
                f"imagery of at most {_mm(BLIND_GSD * gsd_m)}, and check the file's CRS"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the path as JSON-safe values; `from_dict` is the inverse."""
        return {
            "name": self.name,
            "crs": crs_text(self.crs),
            "transform": list(self.transform)[:6],
            "width": self.width,
            "height": self.height,
            "count": self.count,
            "dtype": self.dtype,
            "gsd_m": self.gsd_m,
            "footprint": shapely.to_wkt(self.footprint, rounding_precision=-1),
            "band_use": self.band_use,
            "mask_kind": self.mask_kind,
            "stretch": None if self.stretch is None else [list(pair) for pair in self.stretch],
            "empty_border": self.empty_border,
            "picture_alpha": self.picture_alpha,
            "stored_bytes": self.stored_bytes,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, path: str) -> Self:
        """Rebuild an orthophoto from `to_dict` and the place where its file is now."""
        return cls(
            name=values["name"],
            path=path,
            crs=CRS.from_user_input(values["crs"]),
            transform=Affine(*values["transform"]),
            width=values["width"],
            height=values["height"],
            count=values["count"],
            dtype=values["dtype"],
            gsd_m=values["gsd_m"],
            footprint=cast(shapely.Polygon, shapely.from_wkt(values["footprint"])),
            band_use=values["band_use"],
            mask_kind=values["mask_kind"],
            stretch=_stored_stretch(values["stretch"]),
            # Not told of what was uploaded before these were known.
            empty_border=values.get("empty_border"),
            picture_alpha=values.get("picture_alpha", False),
            stored_bytes=values.get("stored_bytes"),
        )

    def stretched(self, ends: tuple[float, float] | None) -> Self:
        """Return the same orthophoto with these values as black and white, if it has 16 bits."""
        if self.dtype != "uint16" or ends is None:
            return self
        return replace(self, stretch=(ends,) * (1 if self.band_use == "gray" else 3))

    def at(self, path: str) -> Self:
        """Return the same orthophoto at another path (its copy as a COG, or in storage)."""
        return replace(self, path=path)


def comparable_gsd(gsd_m: float) -> float:
    """Return a pixel size as it is compared: one in tiles of a flight, though the map's scale varies."""
    return float(f"{gsd_m:.3g}")


def too_coarse(gsd_m: Sequence[float], *, coarsest_m: float | None) -> Bools:
    """Tell which imagery, by its true metres per pixel, is coarser than a model's coarsest (None: any)."""
    if coarsest_m is None:
        return np.zeros(len(gsd_m), np.bool_)
    return np.asarray(gsd_m, np.float64) > COARSER * coarsest_m


def _stored_stretch(pairs: Sequence[Sequence[float]] | None) -> Stretch | None:
    """Read a stretch from JSON: (0, 65535), or one value wide, stood for one that was not known."""
    stretch = tuple((low, high) for low, high in pairs or ())
    known = all((low, high) != WHOLE_RANGE and high - low > 1.0 for low, high in stretch)
    return stretch if stretch and known else None


def common_stretch(photos: Iterable[Orthophoto]) -> tuple[float, float] | None:
    """Return which 16 bit values become 0 and 255 in all of these; None where all have 8 bits.

    One for all: paint or shadow in one file must not change how the road beside it looks, nor may the
    way that imagery is cut into files. Rounded outwards. A file whose stretch is unknown has no say.
    """
    photos = list(photos)
    ends = [pair for photo in photos for pair in photo.stretch or ()]
    if not ends and any(photo.dtype == "uint16" for photo in photos):
        ends = [WHOLE_RANGE]
    if not ends:
        return None
    highest = max(1.0, *(high for _, high in ends))
    octave = 2.0 ** math.floor(math.log2(highest))
    top = octave * math.ceil(STRETCH_STEPS * highest / octave) / STRETCH_STEPS
    step = top / (2 * STRETCH_STEPS)
    return step * math.floor(min(low for low, _ in ends) / step), top


def metric_crs(photo: Orthophoto) -> CRS:
    """Return the imagery's own CRS where that is metric and conformal, else the UTM zone of its middle."""
    metres = all(math.isclose(axis.unit_conversion_factor, 1.0) for axis in photo.crs.axis_info[:2])
    if photo.crs.is_projected and metres:
        x, y = shapely.get_coordinates(photo.outline(photo.crs).centroid)[0]
        if unevenness(photo.crs, float(x), float(y)) <= MOST_UNEVEN:
            return photo.crs
    middle = photo.footprint.centroid
    return working_crs(wrapped(middle.x), middle.y)


def _mm(metres: float) -> str:
    millimetres = metres * 1000.0
    return f"{millimetres:,.0f} mm" if millimetres >= 10.0 else f"{millimetres:.2g} mm"


def mapped(transform: Affine, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Apply an affine map to arrays of coordinates."""
    return (
        transform.a * x + transform.b * y + transform.c,
        transform.d * x + transform.e * y + transform.f,
    )


@lru_cache(maxsize=64)
def transformer(source: CRS, target: CRS) -> Transformer:
    """Return the way between two CRS, x before y; making one costs more than a block's worth of reading."""
    return Transformer.from_crs(source, target, always_xy=True)


def outline(
    transform: Affine, width: int, height: int, *, source: CRS, target: CRS
) -> shapely.Polygon:
    """Return the frame of a raster in another CRS, its sides densified; coordinates may be infinite."""
    steps = np.arange(OUTLINE_POINTS) / OUTLINE_POINTS
    still = np.zeros(OUTLINE_POINTS)
    column = np.concatenate([steps, still + 1, 1 - steps, still]) * width
    row = np.concatenate([still, steps, still + 1, 1 - steps]) * height
    x, y = mapped(transform, column, row)
    x, y = transformer(source, target).transform(x, y)
    if target.is_geographic and np.isfinite(x).all():
        x = np.unwrap(x, period=360.0)  # across the antimeridian
    return shapely.Polygon(np.column_stack([x, y]))
