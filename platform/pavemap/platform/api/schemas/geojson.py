"""GeoJSON as the API shows it: features and pages of them (RFC 7946), with links to where they go on."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

Id = TypeVar("Id")
Properties = TypeVar("Properties", bound=BaseModel)


class GeometryOut(BaseModel):
    """A GeoJSON geometry in degrees."""

    type: Literal["LineString", "MultiPolygon"]
    coordinates: list[Any]


class Link(BaseModel):
    """Where else to go: `rel` is self or next."""

    rel: Literal["self", "next"]
    type: str
    href: str


class Feature(BaseModel, Generic[Id, Properties]):
    """A GeoJSON feature."""

    type: Literal["Feature"]
    id: Id
    geometry: GeometryOut
    properties: Properties


Features = TypeVar("Features", bound=Feature[Any, Any])


class Page(BaseModel, Generic[Features]):
    """A page of features; without a `next` link it is the last."""

    type: Literal["FeatureCollection"]
    number_returned: int = Field(alias="numberReturned")
    links: list[Link]
    features: list[Features]
