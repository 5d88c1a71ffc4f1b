"""Imports a road network: file read, cut into segments with their pavement, stored under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from pavemap.geo.errors import BadInput
from pavemap.geo.roads.agency_pavement import read_pavement
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.lineage import Previous, lineage_notes
from pavemap.geo.roads.road_defaults import SegmentsBy
from pavemap.geo.roads.road_network import read_network
from pavemap.geo.roads.segments import cutting_length, segment_network
from pavemap.geo.store import networks as store
from pavemap.geo.store.engine import database
from pavemap.geo.store.networks import NetworkRow


@dataclass(frozen=True)
class NetworkFiles:
    """The files of an import, under names of ours: centre-lines and, where it is there, pavement."""

    roads: Path
    pavement: Path | None


@dataclass(frozen=True, kw_only=True)
class NetworkImport:
    """How a network is to be read, cut and called.

    `filename` is the sender's, which messages name; `replaces` is the id or name of an older network.
    """

    name: str
    filename: str
    layer: str | None
    fields: FieldMap
    default_width_m: float
    segments_by: SegmentsBy
    segment_length_m: float
    pavement_layer: str | None
    replaces: str | None


@dataclass(frozen=True)
class Imported:
    """A stored network, the notes of its import, and whether it is new."""

    row: NetworkRow
    report: Sequence[dict[str, Any]]
    created: bool


def import_network(engine: Engine, files: NetworkFiles, wanted: NetworkImport) -> Imported:
    """Store a network; the same one under the same name is stored once.

    Raises BadInput for files that can't be read, NotFound for an unknown network to be replaced, and
    Conflict where the name has another network.
    """
    read = read_network(
        files.roads,
        layer=wanted.layer,
        fields=wanted.fields,
        default_width_m=wanted.default_width_m,
        name=wanted.filename,
    )
    pavement = None
    if files.pavement is not None:
        pavement = read_pavement(files.pavement, layer=wanted.pavement_layer)
    length_m = cutting_length(wanted.segments_by, wanted.segment_length_m)
    replaced, previous = _replaced(engine, wanted)
    segments = segment_network(
        read, by=wanted.segments_by, length_m=length_m, pavement=pavement, previous=previous
    )
    notes = [*read.report, *([] if pavement is None else pavement.report)]
    if previous is not None:
        notes += lineage_notes(
            previous,
            lineage=segments["lineage"].to_numpy(object),
            segment_key=segments["segment_key"].to_numpy(object),
        )
    with database(engine) as connection:
        row, created = store.add_network(
            connection,
            name=wanted.name,
            digest=read.digest if pavement is None else f"{read.digest}+{pavement.digest}",
            source_crs=read.source_crs,
            segment_length_m=length_m,
            segments_by=wanted.segments_by,
            replaces=None if replaced is None else replaced.id,
            roads=read.roads,
            segments=segments,
            report=notes,
        )
        report = store.network_report(connection, row.id)
    return Imported(row, report, created=created)


def _replaced(
    engine: Engine, wanted: NetworkImport
) -> tuple[NetworkRow, Previous] | tuple[None, None]:
    """Return the network that is to be replaced, if one is, with its segments."""
    if wanted.replaces is None:
        return None, None
    with database(engine) as connection:
        replaced = store.get_network(connection, wanted.replaces)
        if replaced.name == wanted.name:
            raise BadInput(
                f"'{wanted.name}' can't replace itself, surveys rest on it; give the new network another "
                "name"
            )
        return replaced, store.previous_network(connection, replaced.id)
