"""Places beside roads against a plain search of every edge."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats
from pavemap.geo.measures.road_frame import RUN_EDGES, RoadFrames


def frames_of(*paths: Floats) -> RoadFrames:
    lines = np.array([shapely.LineString(path) for path in paths], object)
    return RoadFrames.from_lines(lines, scale=np.ones(len(paths)))


def nearest_edge(points: Floats, path: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the first of the nearest edges of a path to each point, and how far it is."""
    step = np.diff(path, axis=0)
    aside = points[:, None] - path[None, :-1]
    part = np.clip((aside * step).sum(axis=2) / (step**2).sum(axis=1), 0.0, 1.0)
    distance = np.hypot(*np.moveaxis(aside - part[:, :, None] * step, 2, 0))
    return distance.argmin(axis=1), distance.min(axis=1)


def wandering(edges: int, seed: int) -> Floats:
    steps = np.random.default_rng(seed).normal(0.5, 3.0, (edges, 2))
    return np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])


@pytest.mark.parametrize("edges", [1, RUN_EDGES - 1, RUN_EDGES, RUN_EDGES + 1, 5 * RUN_EDGES + 7])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_point_belongs_to_the_nearest_of_all_edges(edges: int, mixed: bool) -> None:
    paths = [wandering(edges, seed) for seed in range(4)]
    frames = frames_of(*paths)
    rng = np.random.default_rng(9)
    segment = rng.integers(0, 4, 800)
    segment = segment if mixed else np.sort(segment)
    near = np.array([paths[one][rng.integers(edges + 1)] for one in segment])
    points = near + rng.normal(0, 8.0, near.shape)
    station, offset, _ = frames.project(points, segment)
    for one, path in enumerate(paths):
        mine = segment == one
        edge, distance = nearest_edge(points[mine], path)
        ends = frames.stations[frames.offsets[one] + edge + np.array([[0], [1]])]
        within = (station[mine] >= 0) & (station[mine] <= frames.lengths[one])
        assert (station[mine] >= ends[0] - 1e-9)[within].all()
        assert (station[mine] <= ends[1] + 1e-9)[within].all()
        assert np.abs(offset[mine])[within] == pytest.approx(distance[within], abs=1e-9)


def test_of_edges_as_near_the_first_is_taken_whichever_run_it_is_in() -> None:
    # There and back 2 m beside: every point between is as near to an edge of either leg.
    there = np.column_stack([np.arange(0.0, 81.0), np.zeros(81)])
    frames = frames_of(np.vstack([there, there[::-1] + (0.0, 2.0)]))
    points = np.column_stack([np.arange(0.5, 79.0), np.ones(79)])
    for order in (slice(None), slice(None, None, -1)):
        station, offset, _ = frames.project(points[order].copy(), np.zeros(79, np.int64))
        assert station == pytest.approx(points[order, 0])
        assert offset == pytest.approx(np.ones(79))


@pytest.mark.parametrize(
    "path",
    [
        [(0, 0), (50, 0), (49.8, 0.02), (100, 0)],  # a step back
        [(0, 0), (50, 0), (49.98, 0), (100, 0)],
        [(0, 0), (50, 0), (50 - 50 * np.cos(np.pi / 6), 25)],  # turned by 150 degrees
    ],
)
def test_strips_keep_their_width_beside_a_sharp_vertex(path: list[tuple[float, float]]) -> None:
    frames = frames_of(np.array(path, np.float64))
    right = np.array([-3.5, -1.75, 0.0, 1.75])
    strips = frames.strips(np.zeros(4, np.int64), right, right + 1.75)
    # Where the legs of the last turn lie on each other their ground counts once.
    assert shapely.area(strips) == pytest.approx(np.full(4, 1.75 * 100.0), rel=0.1)
    stations, offset = np.arange(0.5, 100.0), np.full(100, -2.0)
    segment = np.zeros(100, np.int64)
    placed = frames.place(segment, stations, offset)
    aside = shapely.distance(shapely.LineString(path), shapely.points(placed))
    # Some lie beside the other leg, or the step.
    assert (np.abs(aside - 2.0) < 1e-6).sum() >= 90


def test_a_long_road_is_not_searched_edge_by_edge() -> None:
    def seconds(edges: int) -> float:
        path = np.column_stack([5.0 * np.arange(edges + 1), np.sin(np.arange(edges + 1))])
        points = np.column_stack([np.linspace(0, 5.0 * edges, 20_000), np.ones(20_000)])
        frames, segment = frames_of(path), np.zeros(20_000, np.int64)
        taken = []
        for _ in range(5):
            start = time.perf_counter()
            frames.project(points, segment)
            taken.append(time.perf_counter() - start)
        return min(taken)

    # Edge by edge it takes 64 times as long; by runs of them some 10 times.
    assert seconds(6400) < 24 * seconds(100)
