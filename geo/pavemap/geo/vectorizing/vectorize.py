"""Crack probability to lines with width: threshold, skeleton, graph, true centre lines.

    probability -> skeleton.thin -> tracing.trace -> pruning.clean -> centerline.refine -> lines

Every step is local: nothing farther away than a few crack widths changes a line. A cell that is read
with a halo therefore has, within its own bounds, the lines that a picture of the whole survey has.
What can't be local is left to the end: `min_length_m` here drops only what lies whole within the
cell and is judged again after stitching; simplification comes after clipping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pavemap.geo.arrays import Geometries
from pavemap.geo.errors import BadInput
from pavemap.geo.groups import groups
from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.vectorizing.centerline import refine
from pavemap.geo.vectorizing.coverage import coverage_of
from pavemap.geo.vectorizing.crack_graph import CrackGraph
from pavemap.geo.vectorizing.gaps import MAX_GAP_PX, bridged, facing_ends
from pavemap.geo.vectorizing.hysteresis import crack_level, crack_mask
from pavemap.geo.vectorizing.pruning import clean
from pavemap.geo.vectorizing.skeleton import thin
from pavemap.geo.vectorizing.tracing import trace
from pavemap.geo.vectorizing.trust import sure_lengths

BORDER_REACH_PX = 1.0
"""A line that comes this close to where it is not seen whole, and its width more, may go on there."""


@dataclass(frozen=True, kw_only=True)
class VectorizeParams:
    """How probabilities become lines; lengths in pixels but where the name says metres.

    threshold: probability from which a pixel is crack, within (0, 1).
    low_threshold: probability that is enough near a pixel above the threshold (see `hysteresis`); None,
    or one that isn't lower, turns it off.
    gap_px, gap_angle_deg: ends of cracks this near that face each other this straight are joined (see
    `gaps`); 0 turns it off.
    min_length_m: a connected network of cracks shorter than this (true metres) is dropped.
    sure_threshold: probability from which a stretch counts towards `min_length_m` (see `trust`); None,
    all of a network counts.
    spur_widths: a dead end at a junction shorter than this many local widths is a bump.
    smooth_px: sigma of the smoothing along a line.
    simplify_px: how far a stored line may stray from the measured one.
    simplify_width_px: the same for widths.
    max_hole_px: holes in a crack up to this many pixels are filled, larger ones are loops.
    """

    threshold: float = 0.5
    low_threshold: float | None = None
    gap_px: float = 0.0
    gap_angle_deg: float = 30.0
    min_length_m: float = 0.0
    sure_threshold: float | None = None
    spur_widths: float = 1.0
    smooth_px: float = 3.0
    simplify_px: float = 0.1
    simplify_width_px: float = 0.5
    max_hole_px: int = 9

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not 0.0 < self.threshold < 1.0:
            raise BadInput(f"threshold must be within 0 and 1, not {self.threshold}")
        for name in ("low_threshold", "sure_threshold"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                raise BadInput(f"{name} must be within 0 and 1, not {value}")
        if not 0.0 <= self.gap_px <= MAX_GAP_PX:
            raise BadInput(f"gap_px must be within 0 (off) and {MAX_GAP_PX:g}, not {self.gap_px}")
        if not 0.0 < self.gap_angle_deg <= 90.0:
            raise BadInput(f"gap_angle_deg must be within 0 and 90, not {self.gap_angle_deg}")
        for name in (
            "min_length_m",
            "spur_widths",
            "simplify_px",
            "simplify_width_px",
            "max_hole_px",
        ):
            if not getattr(self, name) >= 0.0:
                raise BadInput(f"{name} can't be negative; 0 turns it off")
        if not 0.5 <= self.smooth_px <= 8.0:
            raise BadInput(f"smooth_px must be within 0.5 and 8, not {self.smooth_px}")

    def crack_mask(self, probability: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the pixels of a probability picture (H, W), 255 = 1, that are cracked area."""
        return np.asarray(probability >= crack_level(self.threshold))

    def traced_mask(self, probability: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return those and the weaker ones beside them: what lines are traced in."""
        return crack_mask(probability, threshold=self.threshold, low_threshold=self.low_threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VectorizeParams:
        """Read what `to_dict` wrote; unknown names are refused, missing ones have their defaults."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise BadInput(f"no such vectorising parameter: {', '.join(sorted(unknown))}")
        return cls(**values)


def vectorize(
    probability: NDArray[np.uint8],
    *,
    transform: Affine,
    params: VectorizeParams,
    metres_per_px: float,
) -> Geometries:
    """Return the cracks of an 8-bit probability picture (H, W) as LineString Z, z = width in mm.

    transform maps (column, row) to the coordinates wanted; metres_per_px is the true ground size of
    a pixel. Lines run from node to node, those that meet share their end point exactly, a loop is
    closed. Networks that touch the picture's border are kept however short they are. Raises BadInput.
    """
    traced = trace_lines(
        probability, params=params, min_length_px=params.min_length_m / metres_per_px
    )
    return finished(traced, transform=transform, params=params, metres_per_px=metres_per_px)


def trace_lines(
    probability: NDArray[np.uint8],
    *,
    params: VectorizeParams,
    min_length_px: float = 0.0,
    halo_px: int = 0,
) -> Polylines:
    """Return the cracks in pixel coordinates (x right, y down), a vertex each pixel, width in pixels.

    Of networks that count for less than `min_length_px` those are dropped that lie whole within the
    picture less a halo: in a halo a detector sees the window's border, and a crack may seem to end.
    Coordinates are multiples of 1/256 pixel, equal wherever the window lies: clip here, then finish.
    Raises BadInput for what is not an 8-bit picture.
    """
    if probability.dtype != np.uint8 or probability.ndim != 2:
        raise BadInput(
            f"probability is {probability.dtype} with {probability.ndim} dimensions; give 8 bits in "
            "rows and columns, 255 for certain (a mask times 255)"
        )
    skeleton = thin(params.traced_mask(probability), max_hole_px=params.max_hole_px)
    graph = clean(trace(skeleton), spur_widths=params.spur_widths)
    if not len(graph.nodes):
        return Polylines(np.empty((0, 3)), np.zeros(1, np.int64))
    filled = probability
    if len(skeleton.filled):
        filled = probability.copy()
        filled[skeleton.mask.places(skeleton.filled)] = 255
    coverage = coverage_of(filled, threshold=params.threshold)
    lines = refine(graph, skeleton, coverage, smooth_px=params.smooth_px)
    partner = None
    if params.gap_px > 0.0:
        dead = np.append(graph.degrees, 0)[graph.nodes] == 1
        partner = facing_ends(lines, dead, gap_px=params.gap_px, angle_deg=params.gap_angle_deg)
    keep = np.ones(len(lines), np.bool_)
    if min_length_px > 0.0:
        sure = sure_lengths(lines, probability, threshold=params.sure_threshold)
        at_border = _at_border(lines, probability.shape, halo_px)
        keep = _long_enough(sure, graph, partner, at_border, min_length_px)
    if partner is not None and (partner >= 0).any():
        lines, first = bridged(lines, partner)
        keep = keep[first]
    return lines.take(keep)


def finished(
    lines: Polylines, *, transform: Affine, params: VectorizeParams, metres_per_px: float
) -> Geometries:
    """Simplify traced (and clipped) lines and give them their coordinates and widths in mm."""
    simple = lines.simplified(params.simplify_px, width_tolerance=params.simplify_width_px)
    return simple.transformed(transform, width_factor=1000.0 * metres_per_px).to_shapely()


def _long_enough(
    lengths: NDArray[np.float64],
    graph: CrackGraph,
    partner: NDArray[np.int64] | None,
    at_border: NDArray[np.bool_],
    min_length_px: float,
) -> NDArray[np.bool_]:
    """Mark lines of networks that are long enough, or may go on beyond the window.

    lengths: what of each line counts. partner: the ends that are joined over gaps. at_border: (N,)
    lines that may go on.
    """
    count = len(lengths)
    loops = graph.nodes[:, 0] < 0
    own = graph.node_count + np.arange(count)
    first = np.where(loops, own, graph.nodes[:, 0])
    last = np.where(loops, own, graph.nodes[:, 1])
    size = graph.node_count + count
    if partner is not None:
        joined = np.flatnonzero(partner >= 0)
        ends = graph.nodes.reshape(-1)
        first = np.concatenate([first, ends[joined]])
        last = np.concatenate([last, ends[partner[joined]]])
    network = groups(np.column_stack([first, last]), size)[first[:count]]
    length = np.bincount(network, lengths)[network]
    open_network = np.bincount(network, at_border)[network] > 0
    return np.asarray((length >= min_length_px) | open_network)


def _at_border(lines: Polylines, shape: tuple[int, ...], halo_px: int) -> NDArray[np.bool_]:
    """Mark (N,) lines that come near the halo: a wide crack's skeleton ends before a border."""
    x, y, width = lines.points.T
    rows, cols = shape
    room = np.minimum(np.minimum(x, cols - x), np.minimum(y, rows - y))
    near = room < halo_px + BORDER_REACH_PX + width
    return np.asarray(np.add.reduceat(near, lines.offsets[:-1], dtype=np.int64) > 0)
