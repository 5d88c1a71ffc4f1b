"""A country's network with surveys of it, drawn by numbers: towns of crossing streets, roads between them.

What `ask.py` asks for. Roads of a kilometre lie in segments of 100 m; four fifths of them in towns of
very different size. Each crack is a wiggling line of twelve points on its segment's pavement, so it has
one piece; worse roads have more of them, and every survey finds more than the one before.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Double, Engine, text

from pavemap.geo.arrays import Floats
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.store import model_versions, networks, surveys, tables
from pavemap.geo.store.bulk import copy_frame, reserve_ids
from pavemap.geo.store.engine import database

UTM = CRS.from_epsg(32633)
CORNER_M = np.array([300_000.0, 5_500_000.0])
KM2_PER_SEGMENT = 0.03
"""That of Belgium: 118,000 km of road on 30,700 km2."""

SEGMENTS_PER_ROAD, SEGMENT_M, WIDTH_M = 10, 100.0, 6.0
VERTICES = 4
"""Steps of a segment's line."""

CRACK_POINTS, CRACK_STEP_M = 12, 0.35
FACTS = {"width_source": "field", "lanes": 2, "oneway": False, "surface": "asphalt"}
"""What the network's file says of every road."""

BLOCK = 200_000
"""Cracks drawn at a time: some 150 MB."""


FURTHER_FIGURES = tuple(
    column.name
    for column in tables.Condition.__table__.columns
    if isinstance(column.type, Double) and column.nullable and column.name != "density_m_per_m2"
)
ZONES = {
    kind: {zone: {"length_m": 12.25, "width_mm": 4.5} for zone in ("1", "2", "3", "4", "5")}
    for kind in ("longitudinal", "transverse", "pattern")
}
"""Of the size that R 85's extents have in a row."""


@dataclass(frozen=True)
class Scene:
    """What was stored: the surveys, the latest last, and the segments' ids and middles in degrees."""

    surveys: list[uuid.UUID]
    segment_ids: NDArray[np.int64]
    middles: Floats


def fill(engine: Engine, *, segments: int, rounds: int, cracks: int, seed: int = 1) -> Scene:
    """Store a network and `rounds` surveys of it with `cracks` cracks in all."""
    rng = np.random.default_rng(seed)
    paths = _road_paths(rng, roads=max(1, segments // SEGMENTS_PER_ROAD))
    with database(engine) as connection:
        network, _ = networks.add_network(
            connection,
            name="Country",
            digest="0" * 64,
            source_crs="EPSG:32633",
            segment_length_m=SEGMENT_M,
            roads=_roads(paths),
            segments=_segments(paths),
        )
        model = model_versions.add_model(
            connection, name="drawn", digest="0123456789abcdef", card={"gsd_m": 0.01}, uri="drawn/"
        )
        connection.execute(text("DROP INDEX ix_crack_geom"))
    scene = load(engine)
    badness = np.repeat(rng.lognormal(0.0, 0.8, len(paths)), SEGMENTS_PER_ROAD)
    badness *= rng.lognormal(0.0, 0.4, len(badness))
    for number in range(rounds):
        with database(engine) as connection:
            survey = surveys.create_survey(
                connection,
                surveys.NewSurvey(
                    name=f"Round {number + 1}",
                    network_id=network.id,
                    model_id=model.id,
                    crs="EPSG:32633",
                    gsd_m=0.01,
                    params={},
                ),
            )
        counts = rng.multinomial(cracks // rounds, badness / badness.sum())
        lengths = _add_cracks(engine, survey, scene, counts, rng)
        _add_conditions(engine, survey, scene, counts, lengths, rng)
    with database(engine) as connection:
        connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
        connection.execute(text("CREATE INDEX ix_crack_geom ON crack USING gist (geom)"))
        connection.execute(text("UPDATE survey SET state = 'done', finished_at = now()"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return load(engine)


def load(engine: Engine) -> Scene:
    """Read back what `fill` stored."""
    with database(engine) as connection:
        found = connection.execute(text("SELECT id FROM survey ORDER BY created_at")).scalars()
        rows = connection.execute(
            text(
                "SELECT id, ST_X(ST_StartPoint(geom)), ST_Y(ST_StartPoint(geom)) "
                "FROM segment ORDER BY id"
            )
        ).all()
        table = np.array([tuple(row) for row in rows], dtype=np.float64)
        return Scene(list(found), table[:, 0].astype(np.int64), table[:, 1:])


def _road_paths(rng: np.random.Generator, *, roads: int) -> Floats:
    """Draw roads as (roads, points, 2) metres: in towns along two directions, else anywhere."""
    side_m = 1000.0 * np.sqrt(roads * SEGMENTS_PER_ROAD * KM2_PER_SEGMENT)
    towns = max(1, roads // 500)
    centres = rng.uniform(0.0, side_m, (towns, 2))
    share = 1.0 / np.arange(1, towns + 1) ** 0.8
    town = rng.choice(towns, roads, p=share / share.sum())
    spread_m = 600.0 * np.sqrt(share[town] / share.sum() * roads / 100.0 + 1.0)
    start = centres[town] + rng.normal(size=(roads, 2)) * spread_m[:, None]
    rural = rng.random(roads) < 0.2
    start[rural] = rng.uniform(0.0, side_m, (rural.sum(), 2))
    heading = rng.uniform(0.0, np.pi, towns)[town] + rng.integers(0, 2, roads) * np.pi / 2.0
    steps = SEGMENTS_PER_ROAD * VERTICES
    turns = heading[:, None] + np.cumsum(rng.normal(scale=0.03, size=(roads, steps)), axis=1)
    step_m = SEGMENT_M / VERTICES
    moves = step_m * np.stack([np.cos(turns), np.sin(turns)], axis=2)
    # Streets are numbered by town, as a network's file lists them.
    order = np.argsort(np.where(rural, towns, town), kind="stable")
    path = np.cumsum(np.concatenate([start[:, None], moves], axis=1), axis=1)
    return np.asarray(CORNER_M + path[order])


def _roads(paths: Floats) -> geopandas.GeoDataFrame:
    names = _road_keys(len(paths))
    return geopandas.GeoDataFrame(
        {"road_key": names, "name": names, "width_m": WIDTH_M, **FACTS},
        geometry=_degrees(shapely.linestrings(paths)),
        crs=WGS84,
    )


def _segments(paths: Floats) -> geopandas.GeoDataFrame:
    pieces = np.stack(
        [paths[:, at * VERTICES : (at + 1) * VERTICES + 1] for at in range(SEGMENTS_PER_ROAD)], 1
    ).reshape(-1, VERTICES + 1, 2)
    along = np.gradient(pieces, axis=1)
    along /= np.linalg.norm(along, axis=2, keepdims=True)
    aside = WIDTH_M / 2.0 * np.stack([-along[..., 1], along[..., 0]], axis=2)
    ring = np.concatenate([pieces + aside, (pieces - aside)[:, ::-1]], axis=1)
    pavement = shapely.multipolygons(
        np.asarray(shapely.polygons(_close(ring))), indices=np.arange(len(ring), dtype=np.intp)
    )
    road = np.repeat(_road_keys(len(paths)), SEGMENTS_PER_ROAD)
    start = np.tile(SEGMENT_M * np.arange(SEGMENTS_PER_ROAD), len(paths))
    frame = geopandas.GeoDataFrame(
        {
            "segment_key": road + ":" + pd.Series(start.astype(int)).astype(str).to_numpy(),
            "road_key": road,
            "name": road,
            "from_m": start,
            "to_m": start + SEGMENT_M,
            "length_m": SEGMENT_M,
            "width_m": WIDTH_M,
            "pavement_m2": SEGMENT_M * WIDTH_M,
            "lineage": None,
            **FACTS,
        },
        geometry=_degrees(pavement),
        crs=WGS84,
    )
    frame["line"] = geopandas.GeoSeries(_degrees(shapely.linestrings(pieces)), crs=WGS84)
    return frame


def _road_keys(count: int) -> NDArray[np.object_]:
    return np.array([f"R{number}" for number in range(count)], dtype=object)


def _close(ring: Floats) -> Floats:
    return np.concatenate([ring, ring[:, :1]], axis=1)


def _degrees(geometries: Any) -> NDArray[np.object_]:
    moved: NDArray[np.object_] = reproject(np.asarray(geometries), UTM, WGS84)
    return moved


def _add_cracks(
    engine: Engine,
    survey: surveys.SurveyRow,
    scene: Scene,
    counts: NDArray[np.int64],
    rng: np.random.Generator,
) -> Floats:
    """Store a survey's cracks, segment by segment; return the metres of crack of each segment."""
    owner = np.repeat(np.arange(len(counts)), counts)
    lengths = np.zeros(len(counts))
    for first in range(0, len(owner), BLOCK):
        own = owner[first : first + BLOCK]
        metres = rng.uniform(0.3, 1.7, len(own)) * CRACK_STEP_M * (CRACK_POINTS - 1)
        figures = {
            "length_m": metres,
            "width_mean_mm": rng.uniform(2.0, 6.0, len(own)),
            "width_p95_mm": rng.uniform(6.0, 8.0, len(own)),
            "width_max_mm": rng.uniform(8.0, 12.0, len(own)),
            "area_m2": metres * 0.004,
        }
        lines = _crack_lines(scene.middles[own], metres, rng)
        with database(engine) as connection:
            ids = reserve_ids(connection, tables.Crack, len(own))
            shared = {"survey_id": survey.id, "geom": lines, **figures}
            copy_frame(connection, tables.Crack, {"id": ids, "model_id": survey.model_id, **shared})
            copy_frame(
                connection,
                tables.Piece,
                {"segment_id": scene.segment_ids[own], "crack_id": ids, **shared},
            )
        lengths += np.bincount(own, weights=metres, minlength=len(counts))
    return lengths


def _crack_lines(near: Floats, metres: Floats, rng: np.random.Generator) -> NDArray[np.object_]:
    """Draw lines of true `metres` in degrees, that begin where their segment does."""
    turn = np.cumsum(rng.normal(scale=0.4, size=(len(near), CRACK_POINTS - 1)), axis=1)
    turn += rng.uniform(0.0, 2.0 * np.pi, (len(near), 1))
    moves = np.stack([np.cos(turn), np.sin(turn)], axis=2) * (
        metres[:, None, None] / (CRACK_POINTS - 1)
    )
    start = rng.uniform(-2.0, 2.0, (len(near), 1, 2))
    path = np.cumsum(np.concatenate([start, moves], axis=1), axis=1)
    degrees = path / 111_320.0
    degrees[..., 0] /= np.cos(np.radians(near[:, None, 1]))
    widths = rng.uniform(2.0, 6.0, (len(near), CRACK_POINTS, 1))
    points = np.concatenate([near[:, None] + degrees, widths], axis=2)
    return np.asarray(shapely.linestrings(points))


def _add_conditions(
    engine: Engine,
    survey: surveys.SurveyRow,
    scene: Scene,
    counts: NDArray[np.int64],
    lengths: Floats,
    rng: np.random.Generator,
) -> None:
    coverage = rng.uniform(0.6, 1.0, len(counts)) * (rng.random(len(counts)) > 0.03)
    imaged = coverage * SEGMENT_M * WIDTH_M
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(imaged > 0.0, lengths / imaged, np.nan)
    with database(engine) as connection:
        copy_frame(
            connection,
            tables.Condition,
            {
                "survey_id": survey.id,
                "segment_id": scene.segment_ids,
                "crack_length_m": lengths,
                "cracked_area_m2": lengths * 0.004,
                "imaged_m2": imaged,
                "pavement_m2": SEGMENT_M * WIDTH_M,
                "coverage": coverage,
                "density_m_per_m2": density,
                "crack_count": counts,
                "reason": np.where(imaged > 0.0, "", "no imagery").astype(object),
                **{
                    name: np.where(imaged > 0.0, rng.uniform(0.0, 100.0, len(counts)), np.nan)
                    for name in FURTHER_FIGURES
                },
                "r85": [ZONES if seen else None for seen in imaged > 0.0],
            },
        )
