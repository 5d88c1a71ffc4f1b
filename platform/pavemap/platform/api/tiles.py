"""Vector tiles over HTTP, for MapLibre, QGIS and other maps, and the TileJSON that describes them."""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response

from pavemap.geo.store import networks, surveys, tiles
from pavemap.geo.store.engine import reading
from pavemap.platform.api.headers import CACHING, names_etag
from pavemap.platform.api.parameters import SurveyId, survey_id_of
from pavemap.platform.api.problems import answers
from pavemap.platform.api.services import ServicesOf

router = APIRouter(prefix="/surveys", tags=["results"])

MEDIA_TYPE = "application/vnd.mapbox-vector-tile"
MAX_AGE_S = 60
"""A map may show a tile again for so long without asking; afterwards its ETag says whether it holds."""

FORM = 1
"""Raised when tiles of the same figures look otherwise, so that none from before is kept."""

LAST_ZOOM = 18
"""A step of its grid is 4 cm at the equator; nearer, a map enlarges this tile."""

TILE: dict[int | str, Any] = {
    200: {
        "description": "A Mapbox Vector Tile with the layers `segments` and `cracks`.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "headers": CACHING,
    },
    204: {
        "description": "There is nothing on this ground, or the zoom is too far out.",
        "headers": CACHING,
    },
    304: {
        "description": "The tile that the client has (If-None-Match) still holds.",
        "headers": CACHING,
    },
    **answers(404),
}

Index = Annotated[
    int, Path(ge=0, le=2**tiles.MAX_ZOOM - 1, description="column or row of the tile")
]


@router.get(
    "/{survey_id}/tiles/{z}/{x}/{y}.mvt",
    response_class=Response,
    responses=TILE,
    summary="Vector tile of a survey",
)
def get_tile(
    survey_id: SurveyId,
    z: Annotated[int, Path(ge=0, le=tiles.MAX_ZOOM, description="zoom")],
    x: Index,
    y: Index,
    services: ServicesOf,
    if_none_match: Annotated[
        list[str] | None, Header(description="ETags of the tiles at hand, or *")
    ] = None,
) -> Response:
    """Draw a tile of the web mercator pyramid: centre-lines with their figures; near by, the cracks.

    A tile holds the worst segments of its ground, a thousand up to zoom 13 and four thousand beyond,
    and from zoom 16 its longest cracks, four thousand at most. Tiles begin at zoom 4.
    """
    tile = tiles.Tile(z, x, y)
    known = survey_id_of(survey_id)
    with reading(services.engine) as connection:
        version = surveys.survey_version(connection, known)
        if names_etag(if_none_match or (), _etag(known, version)):
            return Response(status_code=304, headers=_headers(known, version))
        content = tiles.survey_tile(connection, known, tile)
        if (latest := surveys.survey_version(connection, known)) != version:
            # Measured anew meanwhile: no new tile may go by the old one's ETag.
            version, content = latest, tiles.survey_tile(connection, known, tile)
    headers = _headers(known, version)
    if not content:
        return Response(status_code=204, headers=headers)
    return Response(content, media_type=MEDIA_TYPE, headers=headers)


def _headers(survey_id: uuid.UUID, version: str) -> dict[str, str]:
    return {
        "ETag": _etag(survey_id, version),
        "Cache-Control": f"private, max-age={MAX_AGE_S}",
    }


def _etag(survey_id: uuid.UUID, version: str) -> str:
    return f'W/"{hashlib.sha256(f"{FORM} {survey_id} {version}".encode()).hexdigest()[:20]}"'


@router.get(
    "/{survey_id}/tiles.json", responses=answers(404), summary="TileJSON of a survey's tiles"
)
def get_tilejson(survey_id: SurveyId, request: Request, services: ServicesOf) -> dict[str, Any]:
    """Describe a survey's vector tiles as TileJSON 3.0: where they are, their zooms, layers and fields."""
    with reading(services.engine) as connection:
        survey = surveys.get_survey(connection, survey_id_of(survey_id))
        network = networks.get_network(connection, survey.network_id)
    west, south, east, north = network.bounds
    return {
        "tilejson": "3.0.0",
        "name": survey.name,
        "tiles": [f"{str(request.url).split('?')[0].removesuffix('.json')}/{{z}}/{{x}}/{{y}}.mvt"],
        "scheme": "xyz",
        "minzoom": tiles.MIN_ZOOM,
        "maxzoom": LAST_ZOOM,
        "bounds": [west, south, east, north],
        "center": [(west + east) / 2.0, (south + north) / 2.0, 12],
        "vector_layers": [
            {
                "id": "segments",
                "description": "Centre-lines of segments with their condition.",
                "fields": tiles.SEGMENT_FIELDS,
                "minzoom": tiles.MIN_ZOOM,
                "maxzoom": LAST_ZOOM,
            },
            {
                "id": "cracks",
                "description": "Cracks with their length and width.",
                "fields": tiles.CRACK_FIELDS,
                "minzoom": tiles.CRACKS_ZOOM,
                "maxzoom": LAST_ZOOM,
            },
        ],
    }
