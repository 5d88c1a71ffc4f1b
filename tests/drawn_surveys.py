"""Surveys of drawn ground, laid into a real database and storage, and what came of them."""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import pytest
import shapely
from sqlalchemy import Connection, Engine, text

from pavemap.geo.crs import crs_text
from pavemap.geo.imagery.raster import inspect
from pavemap.geo.roads.road_network import read_network
from pavemap.geo.roads.segments import segment_network
from pavemap.geo.storage import Storage, orthophoto_key
from pavemap.geo.store import model_versions, networks, orthophotos, planning, surveys
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import Progress, SurveyRow
from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.serving.worker import WorkRules
from pavemap.training.models.shipped_models import default_card
from scenes import ORIGIN_X, ORIGIN_Y, Scene, cut

WORK_RULES = WorkRules(lease_s=60.0, max_attempts=3, retry_after_s=10.0)

PAVED_SHARE = 0.9
"""The road's width against the scene's height: a margin stays off the pavement."""


@dataclass(frozen=True)
class Figures:
    """All that a survey says, without ids, sorted, so that two surveys can be compared."""

    cracks: list[tuple[str, float, float, float, float]]
    """Geometry (hex WKB), length, mean width, greatest width, area."""
    conditions: list[tuple[str, str, int]]
    """Segment key, reason, number of cracks."""
    sums: list[float]
    """By segment: crack length, cracked area, imaged area, coverage, density (-1: none); all imaged."""

    def assert_same(self, other: Figures) -> None:
        """Compare: every crack to the last bit, sums (added up in any order) to their 12th digit."""
        assert self.cracks == other.cracks
        assert self.conditions == other.conditions
        assert self.sums == pytest.approx(other.sums, rel=1e-12)


def lay_survey(
    engine: Engine,
    *,
    storage: Storage,
    scene: Scene,
    folder: Path,
    cell_px: int = 256,
    halo_px: int = 64,
    columns: int = 3,
    tiles: Sequence[Path] | None = None,
    plan: bool = True,
) -> SurveyRow:
    """Register a scene as a survey of the shipped model and plan its cells.

    The scene is cut into `columns` tiles in a row, or given as `tiles`, uploaded in this order.
    """
    card = default_card()
    params = VectorizeParams.from_dict({**card.vectorize, "threshold": card.threshold})
    folder.mkdir(parents=True, exist_ok=True)
    with database(engine) as conn:
        network = _network(conn, scene, folder)
        model = model_versions.add_model(
            conn,
            name=card.name,
            digest=card.digest,
            card=card.model_dump(mode="json"),
            uri="shipped",
        )
        survey = surveys.create_survey(
            conn,
            surveys.NewSurvey(
                name=f"drawn {uuid.uuid4().hex[:6]}",
                network_id=network,
                model_id=model.id,
                crs=crs_text(scene.crs),
                gsd_m=scene.gsd_m,
                params=params.to_dict(),
                cell_px=cell_px,
                halo_px=halo_px,
            ),
        )
        if tiles is None:
            tiles = cut(scene, folder, columns=columns, rows=1, overlap_px=100)
        for path in tiles:
            content = path.read_bytes()
            info = replace(inspect(path), stored_bytes=len(content))
            digest = hashlib.sha256(content).hexdigest()
            key = orthophoto_key(survey.id, digest)
            # Storage takes a file over; these tiles may be laid again.
            storage.put_file(key, shutil.copyfile(path, folder / "incoming.tif"))
            orthophotos.add_orthophoto(
                conn,
                survey_id=survey.id,
                name=path.name,
                sha256=digest,
                bytes=len(content),
                key=key,
                info=info,
            )
        if plan:
            planning.plan_cells(conn, survey)
        return surveys.get_survey(conn, survey.id)


def progress(engine: Engine, survey: SurveyRow) -> Progress:
    """Return how far a survey is."""
    with database(engine) as conn:
        return surveys.progress(conn, survey.id)


def state(engine: Engine, survey: SurveyRow) -> str:
    """Return the state of a survey."""
    with database(engine) as conn:
        return surveys.get_survey(conn, survey.id).state


def wait_until(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Look ten times a second until a condition holds; fail with `what` when it takes too long."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.1)


@contextmanager
def held_back(engine: Engine, survey: SurveyRow, *, count: int) -> Iterator[None]:
    """Hold the locks of the last waiting cells: a survey can't end, however fast the machine is."""
    with engine.begin() as conn:
        held = conn.execute(
            text("""
                SELECT 1 FROM cell WHERE survey_id = :id AND state = 'waiting'
                ORDER BY col DESC, row DESC LIMIT :count FOR UPDATE SKIP LOCKED
            """),
            {"id": survey.id, "count": count},
        ).all()
        assert len(held) == count
        yield


def figures(engine: Engine, survey: SurveyRow) -> Figures:
    """Return what a finished survey says."""
    with database(engine) as conn:
        cracks = conn.execute(
            text("""
                SELECT encode(ST_AsBinary(geom), 'hex'), length_m, width_mean_mm, width_max_mm, area_m2
                FROM crack WHERE survey_id = :id ORDER BY 1
            """),
            {"id": survey.id},
        ).all()
        conditions = conn.execute(
            text("""
                SELECT s.segment_key, c.reason, c.crack_count, c.crack_length_m, c.cracked_area_m2,
                       c.imaged_m2, c.coverage, coalesce(c.density_m_per_m2, -1)
                FROM condition c JOIN segment s ON s.id = c.segment_id
                WHERE c.survey_id = :id ORDER BY 1
            """),
            {"id": survey.id},
        ).all()
        imaged = surveys.progress(conn, survey.id).imaged_m2
    return Figures(
        [tuple(row) for row in cracks],
        [(row[0], row[1], row[2]) for row in conditions],
        [float(value) for row in conditions for value in row[3:]] + [imaged],
    )


def _network(conn: Connection, scene: Scene, folder: Path) -> uuid.UUID:
    width_m, height_m = scene.size_m
    middle = ORIGIN_Y - height_m / 2
    road = shapely.LineString([(ORIGIN_X, middle), (ORIGIN_X + width_m, middle)])
    frame = geopandas.GeoDataFrame(
        {"id": ["A1"], "width": [PAVED_SHARE * height_m]}, geometry=[road], crs=scene.crs
    )
    path = folder / "roads.gpkg"
    frame.to_file(path, driver="GPKG")
    network = read_network(path)
    segments = segment_network(network, length_m=2.0)
    stored, _ = networks.add_network(
        conn,
        name=f"drawn {network.digest[:12]}",
        digest=network.digest,
        source_crs=network.source_crs,
        segment_length_m=2.0,
        roads=network.roads,
        segments=segments,
    )
    return stored.id
