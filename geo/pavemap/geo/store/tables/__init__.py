"""All tables in one metadata, split by concern: networks, surveys, work on cells, results, reviews."""

from pavemap.geo.store.tables.base import Base
from pavemap.geo.store.tables.networks import Network, Road, Segment
from pavemap.geo.store.tables.results import Condition, Crack, Piece
from pavemap.geo.store.tables.reviews import Review, ReviewedArea
from pavemap.geo.store.tables.storage import StorageIdentity
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
    "Review",
    "ReviewedArea",
    "Road",
    "Segment",
    "StorageIdentity",
    "Survey",
    "TrainingJob",
    "Worker",
]
