"""Road networks in the store: written once, found again by id or name."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unicodedata import normalize

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from pavemap.geo.crs import middle_of
from pavemap.geo.errors import BadInput, Conflict, NotFound
from pavemap.geo.grid import Bounds
from pavemap.geo.roads.lineage import Previous
from pavemap.geo.store.bulk import (
    copy_frame,
    fetch_columns,
    from_ewkb,
    geometry_value,
    reserve_ids,
)
from pavemap.geo.store.engine import lift_timeouts
from pavemap.geo.store.tables import Network, Road, Segment, Survey


@dataclass(frozen=True, kw_only=True)
class NetworkRow:
    """An imported network; `bounds` is (west, south, east, north) in degrees."""

    id: uuid.UUID
    name: str
    digest: str
    source_crs: str
    segment_length_m: float | None
    segments_by: str
    replaces: uuid.UUID | None
    road_count: int
    segment_count: int
    length_m: float
    bounds: Bounds
    created_at: datetime

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of its bounds, as longitude and latitude."""
        return middle_of(self.bounds)


def add_network(
    connection: Connection,
    *,
    name: str,
    digest: str,
    source_crs: str,
    segment_length_m: float | None,
    roads: geopandas.GeoDataFrame,
    segments: geopandas.GeoDataFrame,
    segments_by: str = "length",
    replaces: uuid.UUID | None = None,
    report: Iterable[Any] = (),
) -> tuple[NetworkRow, bool]:
    """Store a network under a name; return it, and whether this made it.

    The same network under the same name is stored once.

    `roads` is that of `roads.read_network`, `segments` that of `segments.segment_network`, both in
    EPSG:4326; `report` holds the import's notes. `replaces` is the network that `segments` was made
    to follow (see `previous_network`). Two imports of one name at once: the later waits.

    Raises Conflict when the name has another network, or one cut otherwise, and NotFound when the one to
    be replaced was deleted meanwhile.
    """
    if roads.empty or segments.empty:
        raise BadInput("a network without roads can't be stored; check the file that was imported")
    lift_timeouts(connection)
    if replaces is not None:
        hold_network(connection, replaces)
    extent = shapely.box(*segments.total_bounds)
    made = connection.execute(
        insert(Network)
        .values(
            name=name,
            digest=digest,
            source_crs=source_crs,
            segment_length_m=segment_length_m,
            segments_by=segments_by,
            replaces=replaces,
            road_count=len(roads),
            segment_count=len(segments),
            length_m=float(segments["length_m"].sum()),
            extent=geometry_value(extent),
            report=[_plain(note) for note in report],
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(Network.id)
    ).scalar_one_or_none()
    if made is None:
        asked = (digest, segments_by, segment_length_m, replaces)
        return _same_network(get_network(connection, name), asked), False
    _copy_roads_and_segments(connection, made, roads, segments)
    connection.execute(text("ANALYZE road, segment"))
    return get_network(connection, made), True


def get_network(connection: Connection, id_or_name: uuid.UUID | str) -> NetworkRow:
    """Return a network by id (or its text) or name. Raises NotFound."""
    key = _as_uuid(id_or_name)
    query = _select_networks()
    found = None
    if key is not None:
        found = connection.execute(query.where(Network.id == key)).one_or_none()
    if found is None:
        name = normalize("NFC", str(id_or_name))  # as names are stored
        found = connection.execute(query.where(Network.name == name)).one_or_none()
    if found is None:
        raise _no_such(id_or_name)
    return _network_row(found)


def hold_network(connection: Connection, network_id: uuid.UUID) -> NetworkRow:
    """Return a network that nobody can delete until the end of this. Raises NotFound."""
    # Looked up after it is locked, so that one just deleted is not found.
    connection.execute(
        select(Network.id)
        .where(Network.id == network_id)
        .with_for_update(read=True, key_share=True)
    )
    return get_network(connection, network_id)


def list_networks(connection: Connection) -> list[NetworkRow]:
    """Return all networks by name."""
    return [_network_row(row) for row in connection.execute(_select_networks())]


def delete_network(connection: Connection, id_or_name: uuid.UUID | str) -> None:
    """Remove a network that no survey is of. Raises NotFound, or Conflict when one is."""
    lift_timeouts(connection)
    network = get_network(connection, id_or_name)
    # Who makes a survey of it at this moment waits until it is gone; who deletes it too finds it gone.
    held = select(Network.id).where(Network.id == network.id).with_for_update()
    if connection.execute(held).one_or_none() is None:
        raise _no_such(id_or_name)
    surveys = connection.scalar(select(func.count()).where(Survey.network_id == network.id))
    if surveys:
        raise Conflict(f"{surveys:,} surveys are of network '{network.name}'; delete them first")
    connection.execute(delete(Network).where(Network.id == network.id))


def network_report(connection: Connection, network_id: uuid.UUID) -> list[dict[str, Any]]:
    """Return what the import of a network repaired or left out, note by note. Raises NotFound."""
    report = connection.scalar(select(Network.report).where(Network.id == network_id))
    if report is None:
        raise NotFound(f"there is no network '{network_id}'")
    return list(report)


def previous_network(connection: Connection, id_or_name: uuid.UUID | str) -> Previous:
    """Return the segments of a network that a new one is to replace. Raises NotFound."""
    network = get_network(connection, id_or_name)
    blocks = list(
        fetch_columns(
            connection,
            """
                SELECT coalesce(s.lineage, s.id), s.segment_key, r.road_key, ST_AsBinary(s.geom)
                FROM segment s JOIN road r ON r.id = s.road_id
                WHERE s.network_id = %(network_id)s ORDER BY s.id
            """,
            {"network_id": network.id},
        )
    )
    first_id, segment_key, road_key, lines = (
        np.concatenate(column) for column in zip(*blocks, strict=True)
    )
    return Previous(
        name=network.name,
        first_id=first_id.astype(np.int64),
        segment_key=segment_key,
        road_key=road_key,
        lines=from_ewkb(lines),
        by=network.segments_by,
        length_m=network.segment_length_m,
    )


def _no_such(id_or_name: uuid.UUID | str) -> NotFound:
    return NotFound(f"there is no network '{id_or_name}'; import it first, or list the networks")


def _copy_roads_and_segments(
    connection: Connection,
    network_id: uuid.UUID,
    roads: geopandas.GeoDataFrame,
    segments: geopandas.GeoDataFrame,
) -> None:
    road_id = pd.Series(
        reserve_ids(connection, Road, len(roads)), index=roads["road_key"].to_numpy(object)
    )
    copy_frame(
        connection,
        Road,
        {
            "id": road_id.to_numpy(),
            "network_id": network_id,
            "road_key": road_id.index.to_numpy(object),
            "name": _texts(roads["name"]),
            "width_m": roads["width_m"].to_numpy(float),
            **_facts(roads),
            "geom": roads.geometry.to_numpy(),
        },
    )
    copy_frame(
        connection,
        Segment,
        {
            "network_id": network_id,
            "road_id": road_id.loc[segments["road_key"].to_numpy(object)].to_numpy(),
            "segment_key": _texts(segments["segment_key"]),
            "name": _texts(segments["name"]),
            **{
                measure: segments[measure].to_numpy(float)
                for measure in ("from_m", "to_m", "length_m", "width_m", "pavement_m2")
            },
            **_facts(segments),
            "lineage": segments["lineage"].to_list(),
            "geom": segments["line"].to_numpy(),
            "pavement": multi_polygons(segments.geometry.to_numpy()),
        },
    )


def _facts(frame: geopandas.GeoDataFrame) -> dict[str, list[Any]]:
    """What the file says of roads and of their segments alike."""
    return {
        "width_source": _texts(frame["width_source"]),
        "lanes": frame["lanes"].to_list(),
        "oneway": frame["oneway"].to_list(),
        "surface": _texts(frame["surface"]),
    }


def multi_polygons(geometries: NDArray[Any]) -> NDArray[Any]:
    """Return polygons as multi-polygons of one part, multi-polygons as they are."""
    result = geometries.copy()
    for at in (shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON).nonzero()[0]:
        whole = geometries[at]
        result[at] = shapely.MultiPolygon([] if whole.is_empty else [whole])
    return result


def _same_network(
    stored: NetworkRow, asked: tuple[str, str, float | None, uuid.UUID | None]
) -> NetworkRow:
    known = (stored.digest, stored.segments_by, stored.segment_length_m, stored.replaces)
    if known == asked:
        return stored
    what = "way to cut this network" if stored.digest == asked[0] else "network"
    raise Conflict(
        f"another {what} is stored under the name '{stored.name}' (imported on "
        f"{stored.created_at:%Y-%m-%d}); give this one another name, or delete "
        "that one first if no survey is of it"
    )


def _select_networks() -> Select[Any]:
    columns = Network.__table__.columns
    edges = (func.ST_XMin, func.ST_YMin, func.ST_XMax, func.ST_YMax)
    return select(
        *(column for column in columns if column.name not in {"extent", "report"}),
        *(edge(columns["extent"]).label(f"edge_{at}") for at, edge in enumerate(edges)),
    ).order_by(Network.name)


def _network_row(row: Row[Any]) -> NetworkRow:
    values = dict(row._mapping)
    bounds = tuple(values.pop(f"edge_{at}") for at in range(4))
    return NetworkRow(**values, bounds=bounds)


def _as_uuid(value: uuid.UUID | str) -> uuid.UUID | None:
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(value)
    except ValueError:
        return None


def _plain(note: Any) -> Any:
    if dataclasses.is_dataclass(note) and not isinstance(note, type):
        return dataclasses.asdict(note)
    return note


def _texts(values: pd.Series) -> list[str]:
    return ["" if value is None else str(value) for value in values.to_numpy(object)]
