"""`pavemap review`: what people say of a survey's cracks, to a GIS and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.limits import MAX_WIDTH_MM
from pavemap.geo.verdict import Verdict
from pavemap.platform.cli.console import (
    Json,
    counted,
    fail,
    note,
    number,
    print_json,
    print_table,
    progress_bars,
    say,
)
from pavemap.platform.cli.remote import HERE, Bbox, Server, SurveyName, connect
from pavemap.platform.cli.survey_progress import finished, note_standing, report

app = typer.Typer(
    help="What people say of cracks: for a survey's figures, and for a model to learn from.",
    no_args_is_help=True,
)

Feature = dict[str, Any]


@app.command("export")
def export_reviews(
    survey: SurveyName,
    output: Annotated[Path, typer.Option("--output", "-o", help="GeoPackage to write.")],
    bbox: Bbox = None,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Write a GeoPackage to review in: cracks with a field `verdict`, and a layer of reviewed areas.

    In QGIS, fill in confirmed or rejected, draw what was missed as lines (drawn, with width_mm), and the
    areas you looked at whole as polygons; then `pavemap review import`.
    """
    from pavemap.platform.client.server_connection import features
    from pavemap.platform.reviews.review_export import write_review_file

    with connect(server) as client, progress_bars(quiet=as_json) as bars:
        found = client.find_survey(survey)
        note_standing(found)
        survey_id = found["id"]
        task = bars.add_task("Cracks", total=None)

        def cracks() -> Iterator[list[Feature]]:
            for page in client.cracks(survey_id, bbox=bbox):
                bars.advance(task, len(page))
                yield page

        lines = write_review_file(
            output,
            survey_id=survey_id,
            cracks=cracks(),
            reviews=list(features(client.reviews(survey_id, bbox=bbox))),
            areas=list(features(client.reviewed_areas(survey_id, bbox=bbox))),
        )
    if as_json:
        print_json({"file": str(output), "lines": lines})
        return
    note(f"{counted(lines, 'line')} to judge")
    say(str(output))


@app.command("import")
def import_reviews(
    survey: SurveyName,
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Lines with a field `verdict` (confirmed, rejected, drawn): GeoPackage, GeoJSON, "
            "zipped Shapefile or GeoParquet. Of an exported crack `crack_id` says which it is.",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer of the lines; by default `cracks`, or the only one.")
    ] = None,
    areas: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Polygons that were looked at whole; by default the file's layer `reviewed_areas`.",
        ),
    ] = None,
    areas_layer: Annotated[
        str | None, typer.Option(help="Layer of the areas, if the file has several.")
    ] = None,
    reviewer: Annotated[
        str, typer.Option(help="Who says so, where the file doesn't (field `reviewer`).")
    ] = "",
    width: Annotated[
        float | None,
        typer.Option(
            "--width-mm", min=0.1, max=MAX_WIDTH_MM, help="Width of lines that state none."
        ),
    ] = None,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Send reviewed cracks and areas to a survey; the last word on a crack counts, twice is once.

    Of a file that `review export` wrote, only what was changed in it is sent.
    """
    from pavemap.platform.reviews.review_import import ReviewFile, read_areas, read_reviews
    from pavemap.platform.reviews.review_layers import has_areas, has_lines
    from pavemap.platform.reviews.review_sending import KINDS, send_reviews

    if file is None and areas is None:
        raise BadInput("name a file of reviewed cracks, or one of reviewed areas (--areas)")
    place = areas or (file if file is not None and has_areas(file) else None)
    grounds = [] if place is None else read_areas(place, layer=areas_layer, reviewer=reviewer)
    said = ReviewFile([], 0)
    with connect(server) as client, progress_bars(quiet=as_json) as bars:
        survey_id = client.find_survey(survey)["id"]
        if file is not None and has_lines(file, layer=layer):
            said = read_reviews(
                file, survey_id=survey_id, layer=layer, reviewer=reviewer, width_mm=width
            )
        task = bars.add_task("Reviews", total=len(said.features) + len(grounds))
        counts = send_reviews(
            client, survey_id, said, grounds, on_sent=lambda sent: bars.advance(task, sent)
        )
    verdicts = Counter(each["properties"]["verdict"] for each in said.features)
    if as_json:
        facts = {"verdicts": dict(verdicts), "without_verdict": said.without_verdict}
        print_json({**facts, **dict(counts)})
        return
    for verdict, count in sorted(verdicts.items()):
        note(f"{count:,} {verdict}")
    if said.without_verdict:
        note(f"left out: {counted(said.without_verdict, 'line')} without a verdict")
    if overtaken := counts["reviews_overtaken"]:
        note(
            f"{overtaken:,} judged by others, or sent before, since the file was exported; what this file "
            "says holds now, but of a drawn line that both have changed both versions stay: look at those"
        )
    for what in ("reviews", "areas"):
        if any(counts[f"{what}_{kind}"] for kind in KINDS):
            say(f"{what}: " + ", ".join(f"{counts[f'{what}_{kind}']:,} {kind}" for kind in KINDS))


@app.command("apply")
def apply_reviews(
    survey: SurveyName,
    undo: Annotated[
        bool, typer.Option("--undo", help="Have them as the model found them again.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until they are done.")] = False,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Work out a survey's figures as its reviews say: without what was rejected, with what was drawn.

    Nothing is detected again. What is said later is heeded when this is run once more, or new imagery is.
    """
    with connect(server) as client:
        found = client.measure(client.find_survey(survey)["id"], heed_reviews=not undo)
        if wait:
            found = finished(client, found["id"], quiet=as_json)
        if wait or found["state"] == "done":
            report(found, client.summary(found["id"]), as_json=as_json)
        elif as_json:
            print_json(found)
        else:
            note(f"{found['name']} is measured anew; pavemap survey status tells when that is done")


@app.command("list")
def list_reviews(
    survey: SurveyName,
    verdict: Annotated[Verdict | None, typer.Option(help="Only those.")] = None,
    areas: Annotated[
        bool, typer.Option("--areas", help="The areas that were looked at whole, instead.")
    ] = False,
    bbox: Bbox = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show at most.")] = 20,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """List what was said of a survey's cracks; --json prints GeoJSON."""
    from pavemap.platform.client.server_connection import features

    with connect(server) as client:
        survey_id = client.find_survey(survey)["id"]
        query: dict[str, Any] = {"bbox": bbox, "at_most": limit}
        pages = (
            client.reviewed_areas(survey_id, **query)
            if areas
            else client.reviews(survey_id, verdict=verdict, **query)
        )
        found = list(features(pages, limit))
    if as_json:
        print_json({"type": "FeatureCollection", "features": found})
        return
    names = ("reviewer", "note") if areas else ("verdict", "crack_id", "reviewer", "note")
    rows = []
    for each in found:
        said = each["properties"]
        width = [] if areas else [number(said["width_mm"], 1)]
        texts = [" ".join(str(said[name] or "–").split()) for name in names]
        rows.append([str(each["id"]), *texts, *width, said["reviewed_at"][:16]])
    print_table(["id", *names, *([] if areas else ["width mm"]), "when (UTC)"], rows)


@app.command("delete")
def delete_reviews(
    survey: SurveyName,
    ids: Annotated[list[int], typer.Argument(min=1, help="Ids, as `pavemap review list` has.")],
    areas: Annotated[bool, typer.Option("--areas", help="They are of areas.")] = False,
    server: Server = HERE,
) -> None:
    """Take reviews back: their cracks are again ones that nobody judged."""
    unknown = 0
    with connect(server) as client:
        survey_id = client.find_survey(survey)["id"]
        delete = client.delete_area if areas else client.delete_review
        for each in ids:
            try:
                delete(survey_id, each)
            except NotFound as exc:
                unknown += 1
                fail(str(exc))
    note(f"{len(ids) - unknown:,} taken back")
    if unknown:
        raise typer.Exit(1)
