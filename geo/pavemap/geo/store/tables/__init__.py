"""All tables in one metadata, split by concern: networks, surveys, the work on cells, and the results."""

from pavemap.geo.store.tables.base import Base
from pavemap.geo.store.tables.networks import Network, Road, Segment
from pavemap.geo.store.tables.results import Condition, Crack, Piece
from pavemap.geo.store.tables.surveys import ModelPromotion, ModelVersion, Orthophoto, Survey
from pavemap.geo.store.tables.training import TrainingJob
from pavemap.geo.store.tables.work import Cell, CellSegment, Fragment, Worker

__all__ = [
    "Base",
    "Cell",
    "CellSegment",
    "Condition",
    "Crack",
    "Fragment",
    "ModelPromotion",
    "ModelVersion",
    "Network",
    "Orthophoto",
    "Piece",
    "Road",
    "Segment",
    "Survey",
    "TrainingJob",
    "Worker",
]
