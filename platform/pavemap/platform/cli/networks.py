"""`pavemap network`: road networks on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pavemap.geo.roads.length_units import LengthUnit
from pavemap.geo.roads.road_defaults import SegmentsBy
from pavemap.platform.cli.console import (
    Json,
    Yes,
    confirmed,
    note,
    print_facts,
    print_json,
    print_table,
)
from pavemap.platform.cli.fields import (
    DefaultWidth,
    IdField,
    Layer,
    NameField,
    SegmentLength,
    WidthField,
    WidthUnit,
)
from pavemap.platform.cli.remote import HERE, Server, connect

app = typer.Typer(help="Road networks, cut into segments.", no_args_is_help=True)


@app.command("import")
def import_network(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="GeoPackage, GeoJSON, zipped Shapefile or GeoParquet with road lines.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call it; by default the file's name.")
    ] = None,
    layer: Layer = None,
    segment_length: SegmentLength = None,
    id_field: IdField = None,
    name_field: NameField = None,
    width_field: WidthField = None,
    width_unit: WidthUnit = "m",
    default_width: DefaultWidth = None,
    lanes_field: Annotated[str | None, typer.Option(help="Field with the number of lanes.")] = None,
    oneway_field: Annotated[
        str | None, typer.Option(help="Field that says whether a road is one-way.")
    ] = None,
    surface_field: Annotated[str | None, typer.Option(help="Field with the surface type.")] = None,
    section_field: Annotated[
        str | None, typer.Option(help="Field with the agency's name of a section.")
    ] = None,
    level_field: Annotated[
        str | None,
        typer.Option(help="Field with a road's level: on two levels roads cross without meeting."),
    ] = None,
    bridge_field: Annotated[
        str | None, typer.Option(help="Field that says whether a road is a bridge.")
    ] = None,
    tunnel_field: Annotated[
        str | None, typer.Option(help="Field that says whether a road is a tunnel.")
    ] = None,
    begin_field: Annotated[
        str | None, typer.Option(help="Field with the measure at a line's begin.")
    ] = None,
    end_field: Annotated[
        str | None, typer.Option(help="Field with the measure at a line's end.")
    ] = None,
    measure_unit: Annotated[LengthUnit, typer.Option(help="Unit of the measures.")] = "m",
    guess: Annotated[
        bool,
        typer.Option(
            help="Look for name, lanes, one-way, surface, layer, bridge, tunnel by field name."
        ),
    ] = True,
    segments: Annotated[
        SegmentsBy,
        typer.Option(help="Where roads are cut into segments."),
    ] = "length",
    pavement: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The agency's pavement polygons."),
    ] = None,
    pavement_layer: Annotated[
        str | None, typer.Option(help="Layer of the pavement file, if it has several.")
    ] = None,
    replaces: Annotated[
        str | None,
        typer.Option(help="Older network that this one follows: its segments keep their history."),
    ] = None,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Import a road network and cut it into segments; the same file again changes nothing."""
    options: dict[str, Any] = {
        "layer": layer,
        "segment_length_m": segment_length,
        "road_id_field": id_field,
        "name_field": name_field,
        "width_field": width_field,
        "width_unit": width_unit,
        "default_width_m": default_width,
        "lanes_field": lanes_field,
        "oneway_field": oneway_field,
        "surface_field": surface_field,
        "section_field": section_field,
        "level_field": level_field,
        "bridge_field": bridge_field,
        "tunnel_field": tunnel_field,
        "begin_field": begin_field,
        "end_field": end_field,
        "measure_unit": measure_unit,
        "guess_fields": guess,
        "segments_by": segments,
        "pavement_layer": pavement_layer,
        "replaces": replaces,
    }
    with connect(server) as client:
        network = client.import_network(
            file, name=name or file.stem, options=options, pavement=pavement
        )
    if as_json:
        print_json(network)
        return
    print_facts(
        {
            "network": network["name"],
            "id": network["id"],
            "roads": f"{network['roads']:,}",
            "segments": f"{network['segments']:,}",
            "length": f"{network['length_m'] / 1000:,.2f} km",
            "CRS of the file": network["source_crs"],
        }
    )
    for problem, count in network["report"]["counts"].items():
        note(f"{count:,} x {problem}")


@app.command("list")
def list_networks(server: Server = HERE, as_json: Json = False) -> None:
    """List the networks of a server."""
    with connect(server) as client:
        networks = client.networks()
    if as_json:
        print_json(networks)
        return
    rows = [
        [each["name"], str(each["roads"]), str(each["segments"]), each["id"]] for each in networks
    ]
    print_table(["network", "roads", "segments", "id"], rows)


@app.command("delete")
def delete(
    network: Annotated[str, typer.Argument(help="Id or name of a network.")],
    yes: Yes = False,
    server: Server = HERE,
) -> None:
    """Remove a network that no survey is of."""
    with connect(server) as client:
        found = client.network(network)
        confirmed(f"Delete network '{found['name']}'?", yes=yes)
        client.delete_network(found["id"])
    note(f"{found['name']} is deleted")
