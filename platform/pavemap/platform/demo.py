"""The main job from end to end, on the example street, through the parts that run in production."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pyogrio
from pydantic import SecretStr

from pavemap.geo.crs import parse_metric_crs
from pavemap.geo.errors import BadInput, PavemapError
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.store.engine import beside
from pavemap.geo.survey_cell import EDGE_PX
from pavemap.platform.client.api_client import Client
from pavemap.platform.client.server_connection import features
from pavemap.platform.client.survey_download import export_survey
from pavemap.platform.client.survey_upload import upload_all, with_labels
from pavemap.platform.file_survey.detect import read_orthophotos
from pavemap.platform.file_survey.seen_ground import seen_ground
from pavemap.platform.settings import Settings
from pavemap.platform.stack import Stack

if TYPE_CHECKING:
    from rich.progress import Progress

NETWORK = "Example streets"
SEGMENT_M = 5.0
COARSER = 2
"""The picture's outline of what was imaged is to so many of the survey's pixels; it can show no less."""
FIELDS = {"road_id_field": "id", "name_field": "name", "width_field": "width_m"}
SOURCES = (
    "Imagery: CC0 drone photographs at an assumed 2.5 mm a pixel; their placement is made "
    "(examples/README.md). Street line © OpenStreetMap contributors, ODbL. Made with pavemap."
)

Json = dict[str, Any]


@dataclass(frozen=True)
class DemoResult:
    """What the demo leaves: the server's answers, and the files made of them."""

    survey: Json
    summary: Json
    segments: list[Json]
    """Properties of the segments, the worst first."""
    picture: Path
    geopackage: Path
    seconds: dict[str, float]
    """By step, in the order of the steps."""


def of_its_own(given: Settings) -> Settings:
    """Return settings that share no home, port, storage, Ray or database with real surveys.

    Workers of the demo would do the cells of surveys that wait, whose imagery is not in its storage.
    Raises BadInput when the named server lets no database be made, Unavailable when it is away.
    """
    url = given.database_url
    changes: dict[str, Any] = {
        "home": given.home / "demo",
        "api_port": 0,
        "serve_port": 0,
        "storage_url": None,
        "ray_address": None,
        "ray_token_file": None,
        "database_url_file": None,
        "database_url": None if url is None else SecretStr(beside(url.get_secret_value(), "_demo")),
    }
    return given.model_copy(update=changes)


def run_demo(
    *,
    examples: Path,
    output: Path,
    settings: Settings,
    report: Callable[[str], None],
    bars: Progress,
) -> DemoResult:
    """Start the stack, survey `examples` (tiles and roads.gpkg) over HTTP, leave a map and a GeoPackage.

    Any number of times, each from nothing: what an earlier demo left in the settings' home is removed.
    Raises what the parts raise, and PavemapError when the GeoPackage does not hold what the server
    found.
    """
    roads, tiles = examples / "roads.gpkg", sorted(examples.glob("*.tif"))
    if not roads.is_file() or not tiles:
        raise BadInput(f"{examples} holds no example survey; run this in a checkout of pavemap")
    output.mkdir(parents=True, exist_ok=True)
    clock = _Clock()
    with Stack(settings, fresh=True, report=report) as stack:
        clock.lap("start")
        with Client(stack.addresses.api) as client:
            report(f"uploading {len(tiles)} tiles to {stack.addresses.api}")
            survey_id = _prepare(client, roads)
            _upload(client, survey_id, tiles, bars)
            clock.lap("upload")
            report("waiting for Ray Serve")
            stack.wait_until_ready()
            clock.lap("start of Ray")
            report("surveying")
            survey = _survey(client, survey_id, bars)
            clock.lap("survey")
            summary = client.summary(survey_id)
            segments = [each["properties"] for each in features(client.segments(survey_id))]
            (geopackage,) = export_survey(client, survey, output / "cracks.gpkg")
        picture = _picture(output / "map.png", survey, geopackage, tiles)
        _check(geopackage, summary, segments)
        clock.lap("export")
    clock.lap("stop")
    return DemoResult(survey, summary, segments, picture, geopackage, clock.seconds)


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step] = now - self._last
        self._last = now


def _prepare(client: Client, roads: Path) -> str:
    """Import the network, make a survey of it, return the survey's id."""
    options = {"segment_length_m": SEGMENT_M, **FIELDS}
    network = client.import_network(roads, name=NETWORK, options=options)
    survey = client.create_survey({"name": f"Demo, {datetime.now():%c}", "network": network["id"]})
    return str(survey["id"])


def _upload(client: Client, survey_id: str, tiles: list[Path], bars: Progress) -> None:
    outcome = upload_all(client, survey_id, with_labels(tiles), there=(), parallel=3, bars=bars)
    for file, why in outcome.failed.items():
        raise PavemapError(f"{file} was not taken: {why}")


def _survey(client: Client, survey_id: str, bars: Progress) -> Json:
    """Run the survey and wait for it. Raises what `Client.wait_for_all` does."""
    plan = client.run(survey_id)
    task = bars.add_task("Cells", total=plan["total"])
    return client.wait_for_all(
        survey_id, on_progress=lambda now: bars.update(task, completed=now["cells"]["done"])
    )


def _picture(path: Path, survey: Json, geopackage: Path, tiles: list[Path]) -> Path:
    from pavemap.platform.maps.map_picture import draw_map

    mosaic = Mosaic(read_orthophotos(tiles), parse_metric_crs(survey["crs"]))
    draw_map(
        path,
        mosaic=mosaic,
        seen=seen_ground(
            mosaic, Grid(mosaic.crs, COARSER * survey["gsd_m"]), edge_px=EDGE_PX // COARSER
        ),
        cracks=gpd.read_file(geopackage, layer="cracks"),
        segments=gpd.read_file(geopackage, layer="segments"),
        title="Example Lane",
        subtitle=f"Crack density by road segment · model {survey['model']} · "
        f"surveyed at {survey['gsd_m'] * 1000:g} mm a pixel",
        sources=SOURCES,
    )
    return path


def _check(geopackage: Path, summary: Json, segments: list[Json]) -> None:
    """Open the GeoPackage as anyone would and compare it with what the server says."""
    cracks = gpd.read_file(geopackage, layer="cracks")
    found = pyogrio.read_info(geopackage, layer="segments")["features"], len(cracks)
    wanted = len(segments), summary["crack_count"] or 0
    if found != wanted or bool(cracks.is_empty.any()):
        raise PavemapError(
            f"{geopackage} holds {found} segments and cracks, the server has {wanted}; "
            "please report this"
        )
