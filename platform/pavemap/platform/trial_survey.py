"""A survey of one drawn crack, as proof that a pavemap works: `python -m pavemap.platform.trial_survey`.

It goes the whole way over HTTP (network, upload, run, density) and compares what comes back with what was
drawn. `helm test` runs it. It leaves a survey of a few kilobytes in the Gulf of Guinea.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import PavemapError, Unavailable
from pavemap.geo.file_digest import file_digest
from pavemap.platform.client.api_client import Client
from pavemap.platform.client.server_connection import features

NETWORK = "pavemap trial"
PLACE = CRS.from_epsg(32631)
LEFT_M, TOP_M = 500_000.0, 1_000.0
"""Upper left corner in UTM 31N: 3 degrees east, nine kilometres of latitude north of 0, open sea."""

GSD_M = 0.002
WIDTH_PX, HEIGHT_PX = 1500, 750
CRACK_WIDTH_PX = 3

TOLERANCE = 0.4
"""How far the density may be from the drawn one: this tests a cluster, not the network."""

PATIENCE_S = 900.0
"""A GPU node that has to start first takes minutes."""


@dataclass(frozen=True)
class Outcome:
    """What the server says of the drawn crack."""

    survey: str
    density_m_per_m2: float
    drawn_m_per_m2: float
    seconds: float


def survey_drawn_crack(client: Client, *, patience_s: float = PATIENCE_S) -> Outcome:
    """Survey the drawn crack on a server. Raises PavemapError where the server does not find it so."""
    started = time.monotonic()

    def look(survey: dict[str, Any]) -> None:
        if time.monotonic() - started > patience_s:
            raise Unavailable(
                f"the survey is {survey['state']} after {patience_s:.0f} s, with cells {survey['cells']}; "
                "look at the Surveyors' and Detectors' logs"
            )

    with tempfile.TemporaryDirectory() as folder:
        tile, road = draw_tile(Path(folder) / "tile.tif"), draw_road(Path(folder) / "road.geojson")
        options = {"road_id_field": "id", "width_field": "width_m", "segment_length_m": 100}
        network = client.import_network(road, name=NETWORK, options=options)
        name = f"pavemap trial {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        survey = client.create_survey({"name": name, "network": network["id"], "gsd_m": GSD_M})
        client.upload(survey["id"], tile, name=tile.name, sha256=file_digest(tile))
    client.run(survey["id"])
    client.wait_for_all(survey["id"], on_progress=look)
    (segment,) = features(client.segments(survey["id"]))
    found = segment["properties"]["density_m_per_m2"]
    drawn = drawn_density()
    if found is None or abs(found / drawn - 1.0) > TOLERANCE:
        raise PavemapError(
            f"the drawn crack is {drawn:.3f} m/m2, the server says {found}; is its model fit for "
            f"pixels of {GSD_M * 1000:g} mm?"
        )
    return Outcome(name, found, drawn, time.monotonic() - started)


def crack() -> NDArray[np.float64]:
    """Return the crack's points (N, 2) in pixels: along the tile, and wandering as cracks do.

    A ruled line would be no test: networks are taught that joints and markings are none.
    """
    rng = np.random.default_rng(1)
    x = np.linspace(150.0, WIDTH_PX - 150.0, 50)
    side = np.cumsum(rng.normal(0.0, 9.0, x.size))
    side -= np.linspace(0.0, side[-1], x.size)
    return np.column_stack([x, HEIGHT_PX / 2 + side])


def drawn_density() -> float:
    """Return metres of the drawn crack per square metre of the tile."""
    length_m = GSD_M * float(np.hypot(*np.diff(crack(), axis=0).T).sum())
    return length_m / (WIDTH_PX * HEIGHT_PX * GSD_M**2)


def draw_tile(path: Path) -> Path:
    """Write a GeoTIFF of 3 m x 1.5 m: grey asphalt with grain, and one dark crack along it."""
    rng = np.random.default_rng(0)
    fine = rng.normal(0.0, 18.0, (HEIGHT_PX, WIDTH_PX))
    coarse = rng.normal(0.0, 8.0, (HEIGHT_PX // 16, WIDTH_PX // 16))
    grain = 140.0 + fine + cv2.resize(coarse, (WIDTH_PX, HEIGHT_PX))
    image = cv2.GaussianBlur(grain.clip(0, 255).astype(np.uint8), (3, 3), 0.6)
    line = np.round(crack()).astype(np.int32)[:, None, :]
    cv2.polylines(image, [line], isClosed=False, color=(60,), thickness=CRACK_WIDTH_PX)
    image = cv2.GaussianBlur(image, (3, 3), 0.8)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=WIDTH_PX,
        height=HEIGHT_PX,
        count=3,
        dtype="uint8",
        crs=PLACE.to_wkt(),
        transform=Affine(GSD_M, 0.0, LEFT_M, 0.0, -GSD_M, TOP_M),
        compress="deflate",
    ) as target:
        target.write(np.repeat(image[None], 3, axis=0))
    return path


def draw_road(path: Path) -> Path:
    """Write the tile's road as GeoJSON: as long and as wide as the tile."""
    y = TOP_M - HEIGHT_PX * GSD_M / 2
    line = shapely.LineString([(LEFT_M, y), (LEFT_M + WIDTH_PX * GSD_M, y)])
    feature = {
        "type": "Feature",
        "properties": {"id": "trial", "width_m": HEIGHT_PX * GSD_M},
        "geometry": json.loads(shapely.to_geojson(reproject(line, PLACE, WGS84))),
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: one line of JSON when all is well, else one sentence and status 1."""
    parser = argparse.ArgumentParser(prog="python -m pavemap.platform.trial_survey")
    parser.add_argument("--server", required=True, help="URL of the API")
    parser.add_argument("--patience-s", type=float, default=PATIENCE_S, help="longest wait for it")
    options = parser.parse_args(arguments)
    try:
        with Client(options.server) as client:
            outcome = survey_drawn_crack(client, patience_s=options.patience_s)
    except PavemapError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
