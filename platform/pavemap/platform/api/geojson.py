"""Writes pages of features as GeoJSON (RFC 7946): plain geometries in degrees, a link to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import shapely
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from pavemap.geo.store.segment_pages import DIGITS
from pavemap.platform.api.problems import answers

MEDIA_TYPE = "application/geo+json"


class GeoJSONResponse(Response):
    """A page of features."""

    media_type = MEDIA_TYPE


def described(model: type[BaseModel], description: str) -> dict[int | str, Any]:
    """Return what OpenAPI says of the answers of a route that gives pages of a model."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {MEDIA_TYPE: {"schema": schema}}
    return {200: {"description": description, "content": content}, **answers(404, 409)}


def page(
    request: Request,
    *,
    ids: Sequence[int | str],
    geometries: Sequence[shapely.Geometry],
    properties: Sequence[Mapping[str, Any]],
    following: str | None,
) -> GeoJSONResponse:
    """Return one page; `following` is the cursor of the next, which its `next` link asks for."""
    return collection(
        request,
        features=[
            orjson.dumps(
                {
                    "type": "Feature",
                    "id": identifier,
                    "geometry": orjson.Fragment(geometry),
                    "properties": values,
                }
            )
            for identifier, geometry, values in zip(
                ids, _written(geometries), properties, strict=True
            )
        ],
        following=following,
    )


def collection(
    request: Request, *, features: Sequence[bytes], following: str | None
) -> GeoJSONResponse:
    """Return one page of features that are JSON already."""
    links = [{"rel": "self", "type": MEDIA_TYPE, "href": str(request.url)}]
    if following is not None:
        href = str(request.url.include_query_params(after=following))
        links.append({"rel": "next", "type": MEDIA_TYPE, "href": href})
    head = {"type": "FeatureCollection", "numberReturned": len(features), "links": links}
    opened = orjson.dumps(head)[:-1]
    return GeoJSONResponse(b"".join([opened, b',"features":[', b",".join(features), b"]}"]))


def _written(geometries: Sequence[shapely.Geometry]) -> list[str]:
    flat = shapely.orient_polygons(shapely.force_2d(np.array(geometries, dtype=object)))
    rounded = shapely.transform(flat, lambda points: np.round(points, DIGITS))
    return [str(text) for text in shapely.to_geojson(rounded)]
