"""`pavemap segments`, `cracks` and `export`: what a survey found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pavemap.geo.store.figures import Sort
from pavemap.platform.cli.console import (
    Json,
    note,
    number,
    print_json,
    print_table,
    progress_bars,
    say,
)
from pavemap.platform.cli.remote import HERE, Bbox, Server, SurveyName, connect
from pavemap.platform.client.transfer import (
    SERVED_LAYERS,
    ServedLayer,
    again_if_changed,
    copy_layer,
    descriptions_of,
    unchanged,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from pavemap.platform.client.api_client import Client
    from pavemap.platform.exports.export_layers import LayerName

Feature = dict[str, Any]

Limit = Annotated[int, typer.Option(min=1, help="How many to show at most.")]


def segments(
    survey: SurveyName,
    bbox: Bbox = None,
    min_density: Annotated[
        float | None, typer.Option(min=0, help="Least crack density, m/m².")
    ] = None,
    confident: Annotated[
        bool | None,
        typer.Option(
            "--confident/--not-confident", help="Only figures that rest on enough coverage, or not."
        ),
    ] = None,
    sort: Annotated[Sort, typer.Option(help="What to sort by.")] = "density",
    ascending: Annotated[
        bool | None,
        typer.Option(
            "--asc/--desc",
            help="The smallest or the largest first; else the worst, of keys the first.",
        ),
    ] = None,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """List segments with their figures, the worst first; --json prints GeoJSON."""
    with connect(server) as client:
        known = client.find_survey(survey)
        pages = client.segments(
            known["id"],
            bbox=bbox,
            min_density=min_density,
            confident=confident,
            sort=sort,
            order=None if ascending is None else "asc" if ascending else "desc",
            limit=min(limit, 2000),
        )
        found = list(islice(_flat(pages), limit))
    if as_json:
        print_json({"type": "FeatureCollection", "features": found})
        return
    _note_standing(known)
    if found or known["finished_at"] is not None:
        print_segments([feature["properties"] for feature in found])


def cracks(
    survey: SurveyName,
    bbox: Bbox = None,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """List cracks with length and width; --json prints GeoJSON."""
    with connect(server) as client:
        pages = client.cracks(client.find_survey(survey)["id"], bbox=bbox, limit=min(limit, 2000))
        found = list(islice(_flat(pages), limit))
    if as_json:
        print_json({"type": "FeatureCollection", "features": found})
        return
    rows = [
        [
            str(feature["id"]),
            number(feature["properties"]["length_m"], 2),
            number(feature["properties"]["width_mean_mm"], 1),
            number(feature["properties"]["width_p95_mm"], 1),
            number(feature["properties"]["width_max_mm"], 1),
            number(feature["properties"]["confidence"], 2),
            feature["properties"]["model"],
        ]
        for feature in found
    ]
    print_table(
        ["crack", "length m", "mean width mm", "95 % mm", "max width mm", "confidence", "model"],
        rows,
    )


def export(
    survey: SurveyName,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .gpkg with both layers, or .geojson or .csv with the segments; the cracks "
            "are then in NAME_cracks beside it.",
        ),
    ],
    layer: Annotated[ServedLayer | None, typer.Option(help="Only this layer.")] = None,
    bbox: Bbox = None,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Write a survey's segments and cracks for a GIS or a spreadsheet.

    A GeoPackage holds both layers, with styles for QGIS; of GeoJSON and CSV each layer is a file.
    """
    from pavemap.platform.exports.export import Export

    layers = (layer,) if layer else SERVED_LAYERS
    with connect(server) as client, progress_bars(quiet=as_json) as bars:
        found = client.find_survey(survey)
        if not as_json:
            _note_standing(found)
        counts: dict[str, int] = {}

        def write() -> Export:
            counts.clear()
            told = descriptions_of(found)
            with (
                Export(output, layers=layers, descriptions=told) as made,
                unchanged(client, found["id"]),
            ):
                for name in layers:
                    task = bars.add_task(name.capitalize(), total=None)
                    for count in copy_layer(client, found["id"], made, layer=name, bbox=bbox):
                        counts[name] = count
                        bars.update(task, completed=count)
            return made

        made = again_if_changed(write)
    files = [str(file) for file in made.files]
    if as_json:
        print_json({"files": files, "features": {name: counts.get(name, 0) for name in layers}})
        return
    for name in layers:
        note(f"{counts.get(name, 0):,} {name}")
    if bbox is not None and not any(counts.values()):
        note(f"nothing of the survey lies in {bbox}: is that west,south,east,north in degrees?")
    for file in files:
        say(file)


def _note_standing(survey: dict[str, Any]) -> None:
    """Say of which run a survey's figures are, where that is not one of its present imagery."""
    if survey["finished_at"] is None:
        note("the survey has not been run: it has no figures yet (pavemap survey run)")
    elif survey["state"] != "done":
        note(f"the survey is {survey['state']}: these are the figures of its last finished run")
    if survey["attention"]:
        note(f"Attention: {survey['attention']}.")


def change(
    survey: SurveyName,
    since: Annotated[str, typer.Option(help="Id or name of the earlier survey.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .gpkg with both layers, or .geojson or .csv with the segments; the cracks "
            "are then in NAME_crack_changes beside it.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0.001, max=5, help="Metres the surveys may show the same crack apart."),
    ] = None,
    limit: Limit = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Tell what changed since an earlier survey of the same roads, the worst first.

    The file holds every segment that the imagery of both surveys reaches, with its change, and every
    crack as new, grown, gone or unchanged.
    """
    with connect(server) as client, progress_bars(quiet=as_json) as bars:
        later, earlier = client.find_survey(survey), client.find_survey(since)
        if not as_json:
            _note_order(later, earlier)
        survey_id = later["id"]
        asked = {"since": earlier["id"], "tolerance_m": tolerance}
        whole = client.change_summary(survey_id, **asked)
        files: list[str] = []
        if output is not None:
            told = _comparison(later, earlier, whole)
            files = _write_change(client, survey_id, asked, output, bars, told=told)
        pages = client.change(survey_id, **asked, limit=min(limit, 200))
        found = list(islice(_flat(pages), limit))
    if as_json:
        shown = {"type": "FeatureCollection", "features": found}
        print_json({"files": files, "summary": whole, **shown})
        return
    _print_change(whole, [feature["properties"] for feature in found])
    for file in files:
        say(file)


def _note_order(later: dict[str, Any], earlier: dict[str, Any]) -> None:
    dates = later["captured_on"], earlier["captured_on"]
    if None not in dates and dates[0] < dates[1]:
        note(
            f"'{later['name']}' was captured on {dates[0]}, before '{earlier['name']}' ({dates[1]}): what "
            "is called new here was gone later; --since takes the earlier survey"
        )


def _write_change(
    client: Client,
    survey_id: str,
    asked: dict[str, Any],
    output: Path,
    bars: Progress,
    *,
    told: str,
) -> list[str]:
    """Write both layers, described as `told`; return the files."""
    import geopandas as gpd

    from pavemap.platform.exports.export import Export

    layers: tuple[tuple[LayerName, str], ...] = (
        ("changes", "segments"),
        ("crack_changes", "cracks"),
    )

    names = [name for name, _ in layers]

    def write() -> Export:
        with (
            Export(output, layers=names, descriptions=dict.fromkeys(names, told)) as made,
            unchanged(client, survey_id),
            unchanged(client, asked["since"]),
        ):
            for name, layer in layers:
                task = bars.add_task(layer.capitalize(), total=None)
                for page in client.change(survey_id, layer=layer, sort="segment", **asked):
                    if page:
                        made.write(name, gpd.GeoDataFrame.from_features(page, crs=4326))
                    bars.advance(task, len(page))
        return made

    return [str(file) for file in again_if_changed(write).files]


def _print_change(whole: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    print_table(
        [
            "segment",
            "road",
            "before",
            "after",
            "change",
            "±",
            "new m",
            "grown m",
            "gone m",
            "same m",
        ],
        [
            [
                row["segment_key"],
                row["name"] or "–",
                number(row["density_before_m_per_m2"], 3),
                number(row["density_after_m_per_m2"], 3),
                number(row["density_change_m_per_m2"], 3) + ("!" if row["significant"] else ""),
                number(row["uncertainty_m_per_m2"], 3),
                *(number(row[f"{kind}_m"], 1) for kind in ("new", "grown", "gone", "unchanged")),
            ]
            for row in rows
        ],
        spare=("same m", "road", "gone m", "grown m", "new m"),
    )
    if not whole["segments_compared"]:
        note(
            "the two surveys have no segment in common: compare surveys of one network, or import the "
            "newer network with --replaces"
        )
    say(
        f"network: {number(whole['density_before_m_per_m2'], 3)} to "
        f"{number(whole['density_after_m_per_m2'], 3)} m/m², change "
        f"{number(whole['density_change_m_per_m2'], 3)} ± {number(whole['uncertainty_m_per_m2'], 3)}; "
        f"{whole['worse']:,} of {whole['segments_compared']:,} segments worse, {whole['better']:,} better"
    )
    note(
        f"! is larger than its uncertainty (95 %). Cracks are the same within {whole['tolerance_m']:.2f} m."
    )
    if not whole["accuracy_stated"]:
        note("A model's card states no precision and recall; 0.8 is assumed for both.")


def _comparison(later: dict[str, Any], earlier: dict[str, Any], whole: dict[str, Any]) -> str:
    """Say, for the file's metadata, what was compared, and by which assumptions."""
    surveys = " with ".join(
        f"'{each['name']}' (model {each['model']})" for each in (later, earlier)
    )
    accuracy = " and ".join(
        f"{whole[f'precision_{when}']:.2f} and {whole[f'recall_{when}']:.2f} {when}"
        for when in ("before", "after")
    )
    assumed = "" if whole["accuracy_stated"] else ", 0.8 where a model's card states none"
    return (
        f"Survey {surveys}. Cracks are the same within {whole['tolerance_m']:.2f} m; uncertainties "
        f"rest on a precision and recall of {accuracy}{assumed}."
    )


def print_segments(rows: list[dict[str, Any]]) -> None:
    """Print segments as a table."""
    print_table(
        [
            "segment",
            "road",
            "from–to m",
            "m/m²",
            "PCI",
            "cracks",
            "length m",
            "imaged m²",
            "coverage",
            "unseen",
        ],
        [
            [
                row["segment_key"],
                row["name"] or "–",
                f"{row['from_m']:.0f}–{row['to_m']:.0f}",
                number(row["density_m_per_m2"], 3) + ("" if row.get("confident", True) else "*"),
                number(row.get("pci_cracking"), 0),
                number(row["crack_count"], 0),
                number(row["crack_length_m"], 1),
                number(row["imaged_m2"], 1),
                f"{row['coverage']:.0%}",
                row["reason"],
            ]
            for row in rows
        ],
        spare=("cracks", "imaged m²", "length m", "PCI", "unseen", "road"),
    )
    if not all(row.get("confident", True) for row in rows):
        note("* rests on too little coverage, or on imagery too coarse for the model.")


def _flat(pages: Iterator[list[Feature]]) -> Iterator[Feature]:
    for page in pages:
        yield from page
