"""The roads that a command surveys files by: its options for them, and the segments that come of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from pavemap.geo.errors import BadInput
from pavemap.platform.cli.console import note
from pavemap.platform.cli.fields import (
    DefaultWidth,
    IdField,
    Layer,
    NameField,
    SegmentLength,
    WidthField,
    WidthUnit,
)

if TYPE_CHECKING:
    import geopandas as gpd

    from pavemap.platform.exports.export_layers import LayerName


@dataclass(frozen=True, kw_only=True)
class RoadOptions:
    """What a command was told of roads: their file, if one was given, and how to read and cut it."""

    roads: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Road lines: gives density by segment."),
    ] = None
    layer: Layer = None
    segment_length: SegmentLength = None
    id_field: IdField = None
    name_field: NameField = None
    width_field: WidthField = None
    width_unit: WidthUnit = "m"
    default_width: DefaultWidth = None

    def check(self) -> None:
        """Raise BadInput where there is no road file, and yet something was said of it."""
        said = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        named = [f"--{name.replace('_', '-')}" for name in said]
        if self.roads is None and named:
            raise BadInput(
                f"{', '.join(named)}: only of use with a road file; give one with --roads, or leave "
                "them out"
            )

    def layers(self) -> tuple[LayerName, ...]:
        """Name the layers that a survey of files has."""
        return ("cracks",) if self.roads is None else ("cracks", "segments", "pieces")

    def segments(self) -> gpd.GeoDataFrame | None:
        """Read the file and cut its roads, saying what was wrong with it; None without one."""
        from pavemap.geo.roads.field_map import FieldMap
        from pavemap.geo.roads.road_network import read_network
        from pavemap.geo.roads.segments import segment_network
        from pavemap.platform.settings import load_settings

        if self.roads is None:
            return None
        settings = load_settings()  # as on a server, for the same roads to get the same figures
        network = read_network(
            self.roads,
            layer=self.layer,
            fields=FieldMap(
                road_id=self.id_field,
                name=self.name_field,
                width=self.width_field,
                width_unit=self.width_unit,
            ),
            default_width_m=self.default_width or settings.road_width_m,
        )
        for problem, count in network.summary().items():
            note(f"{self.roads.name}: {count:,} x {problem}")
        length_m = self.segment_length or settings.segment_length_m
        return segment_network(network, length_m=length_m)


def takes_roads(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of `RoadOptions` in the place of its `on_roads`."""
    names = [each.name for each in fields(RoadOptions)]
    hints = get_type_hints(RoadOptions, include_extras=True)
    options = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=each.default,
            annotation=hints[each.name],
        )
        for each in fields(RoadOptions)
    ]
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += options if parameter.name == "on_roads" else [parameter]

    @wraps(command)
    def told(**given: Any) -> None:
        on_roads = RoadOptions(**{name: given.pop(name) for name in names})
        command(**given, on_roads=on_roads)

    told.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    told.__annotations__ = {each.name: each.annotation for each in parameters}
    return told
