"""Pavement measures as pure functions: geometry and widths in, the figures of published definitions out."""

from pavemap.geo.measures.classified_cracks import classify_cracks
from pavemap.geo.measures.crack_types import TYPES
from pavemap.geo.measures.cracking_percent import cracking_rating
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.pci import Distress, pci_rating, section_pci, unit_pci
from pavemap.geo.measures.scene import SegmentGeometry
from pavemap.geo.measures.segment_measures import COLUMNS, segment_measures
from pavemap.geo.measures.severity import SEVERITIES

__all__ = [
    "COLUMNS",
    "SEVERITIES",
    "TYPES",
    "Distress",
    "MeasureParams",
    "SegmentGeometry",
    "classify_cracks",
    "cracking_rating",
    "pci_rating",
    "section_pci",
    "segment_measures",
    "unit_pci",
]
