"""Skeletons drawn by hand, and their graphs worked out by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import shapely

from drawn_cracks import painted, picture, unpacked
from pavemap.geo.vectorizing.chains import walk_chains
from pavemap.geo.vectorizing.crack_graph import CrackGraph
from pavemap.geo.vectorizing.pruning import clean
from pavemap.geo.vectorizing.skeleton import thin
from pavemap.geo.vectorizing.tracing import trace


def graph_of(text: str) -> CrackGraph:
    """Trace a picture that is a skeleton already."""
    drawn = picture(text) > 0
    skeleton = thin(drawn)
    assert (unpacked(skeleton.lines) == drawn).all(), "not a skeleton"
    return trace(skeleton)


def places(graph: CrackGraph) -> list[tuple[int, int]]:
    """Rows and columns of a graph's chain."""
    rows, cols = np.divmod(graph.chain, graph.stride)
    return [(row - 1, col - 64) for row, col in zip(rows.tolist(), cols.tolist(), strict=True)]


def graph_of_mask(crack: shapely.geometry.base.BaseGeometry, width: float) -> CrackGraph:
    return clean(trace(thin(painted(crack, width=width) > 0)))


def test_a_side_step_is_1_and_a_corner_step_sqrt_2() -> None:
    graph = graph_of("""
        .....
        .#...
        ..##.
        .....
    """)
    assert graph.lengths == pytest.approx([1 + sqrt(2)])
    assert places(graph) == [(1, 1), (2, 2), (2, 3)]
    assert graph.degrees.tolist() == [1, 1]


def test_a_t_has_three_branches() -> None:
    graph = graph_of("""
        .......
        .#####.
        ...#...
        ...#...
        .......
    """)
    assert sorted(graph.lengths) == pytest.approx([2, 2, 2])
    assert sorted(graph.degrees) == [1, 1, 1, 3]


def test_an_x_has_four_branches_at_one_node() -> None:
    graph = graph_of("""
        #...#
        .#.#.
        ..#..
        .#.#.
        #...#
    """)
    assert graph.lengths == pytest.approx([2 * sqrt(2)] * 4)
    assert sorted(graph.degrees) == [1, 1, 1, 1, 4]


def test_a_ring_is_one_loop_without_node() -> None:
    graph = graph_of("""
        .###.
        #...#
        #...#
        #...#
        .###.
    """)
    assert graph.lengths == pytest.approx([8 + 4 * sqrt(2)])
    assert graph.nodes.tolist() == [[-1, -1]]
    assert graph.chain[0] == graph.chain[-1]


def test_a_ring_with_a_tail_has_a_loop_at_a_node() -> None:
    graph = graph_of("""
        ..#.....
        .#.#....
        #...####
        .#.#....
        ..#.....
    """)
    loop = graph.nodes[:, 0] == graph.nodes[:, 1]
    assert graph.lengths[loop] == pytest.approx([8 * sqrt(2)])
    assert graph.lengths[~loop] == pytest.approx([3])


def test_a_theta_has_three_edges_between_two_nodes() -> None:
    graph = graph_of("""
        .#####.
        #..#..#
        #..#..#
        #..#..#
        .#####.
    """)
    assert sorted(graph.lengths) == pytest.approx([4, 6 + 2 * sqrt(2), 6 + 2 * sqrt(2)])
    assert sorted(graph.degrees) == [3, 3]


def test_a_lone_pixel_is_no_line() -> None:
    assert (
        len(
            graph_of("""
        ...
        .#.
        ...
    """).nodes
        )
        == 0
    )


def test_tracing_twice_gives_the_same() -> None:
    skeleton = thin(painted(shapely.LineString([(0, 0), (50, 10), (80, 60)]), width=4) > 0)
    assert trace(skeleton).chain.tolist() == trace(skeleton).chain.tolist()


def test_a_bump_is_no_branch() -> None:
    bar = np.zeros((30, 80), np.uint8)
    bar[10:20, 5:75] = 255
    bar[7:10, 40:43] = 255
    graph = clean(trace(thin(bar > 0)))
    assert len(graph.nodes) == 1
    assert sorted(graph.degrees[graph.degrees > 0]) == [1, 1]


def test_a_square_end_is_no_fork() -> None:
    graph = graph_of_mask(shapely.LineString([(0, 0), (90, 0)]), 14)
    assert len(graph.nodes) == 1


@pytest.mark.parametrize(("tooth", "edges"), [(4, 1), (40, 3)])
def test_a_branch_must_be_longer_than_the_crack_is_wide(tooth: float, edges: int) -> None:
    comb = shapely.MultiLineString([[(0, 0), (100, 0)], [(50, 0), (50, tooth)]])
    assert len(graph_of_mask(comb, 8).nodes) == edges


@pytest.mark.parametrize("angle", [30, 50, 70, 90])
@pytest.mark.parametrize("width", [4, 10])
def test_two_cracks_cross_at_one_node(angle: float, width: float) -> None:
    a = np.deg2rad(angle)
    other = [(-100 * np.cos(a), -100 * np.sin(a)), (100 * np.cos(a), 100 * np.sin(a))]
    graph = graph_of_mask(shapely.MultiLineString([[(-100, 0), (100, 0)], other]), width)
    assert sorted(graph.degrees[graph.degrees > 0]) == [1, 1, 1, 1, 4]


def test_two_branches_side_by_side_are_two_nodes() -> None:
    comb = shapely.MultiLineString([[(0, 0), (120, 0)], [(50, 0), (50, 50)], [(70, 0), (70, 50)]])
    graph = graph_of_mask(comb, 8)
    assert sorted(graph.degrees[graph.degrees > 0]) == [1, 1, 1, 1, 3, 3]


def test_a_small_star_keeps_its_two_longest_rays() -> None:
    star = shapely.MultiLineString([[(0, 0), (9, 0)], [(0, 0), (-5, 8)], [(0, 0), (-4, -7)]])
    graph = graph_of_mask(star, 8)
    assert len(graph.nodes) == 1


def test_chains_run_from_their_lowest_free_end() -> None:
    # Pieces 0, 1, 2: the end of 0 joins the end of 2, the start of 2 joins the start of 1.
    chains = walk_chains(np.array([-1, 5, 4, -1, 2, 1]))
    assert chains.entries.tolist() == [0, 5, 2]
    assert chains.offsets.tolist() == [0, 3]
    assert not chains.closed[0]


def test_chains_may_close() -> None:
    chains = walk_chains(np.array([3, 2, 1, 0, 5, 4, -1, -1]))
    assert chains.entries.tolist() == [0, 2, 4, 6]
    assert chains.offsets.tolist() == [0, 2, 3, 4]
    assert chains.closed.tolist() == [True, True, False]
