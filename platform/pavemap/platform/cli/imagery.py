"""`pavemap survey upload` and `remove`: the files of a survey."""

from __future__ import annotations

from typing import Annotated

import typer

from pavemap.geo.errors import NotFound
from pavemap.platform.cli.console import (
    Json,
    fail,
    note,
    note_warnings,
    print_facts,
    print_json,
    progress_bars,
)
from pavemap.platform.cli.rasters import rasters_at
from pavemap.platform.cli.remote import HERE, Server, SurveyName, connect


def upload(
    survey: SurveyName,
    files: Annotated[list[str], typer.Argument(help="GeoTIFFs, folders of them, or patterns.")],
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Files sent at once.")] = 3,
    again: Annotated[
        bool,
        typer.Option("--again", help="Send also what the server has, as when it lost the file."),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Put files in the place of other images of their names."),
    ] = False,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Send imagery to a survey; run again after an interruption it sends only what is missing."""
    from pavemap.platform.client.survey_upload import held_labels, upload_all, with_labels

    paths = rasters_at(files)
    with connect(server) as client, progress_bars(transfer=True, quiet=as_json) as bars:
        survey_id = client.find_survey(survey)["id"]
        there = [photo for page in client.orthophotos(survey_id) for photo in page]
        outcome = upload_all(
            client,
            survey_id,
            with_labels(paths, held=held_labels(there)),
            there=there,
            parallel=parallel,
            bars=bars,
            again=again,
            replace=replace,
        )
    if as_json:
        print_json(
            {
                "uploaded": outcome.uploaded,
                "skipped": outcome.skipped,
                "failed": [{"file": file, "error": why} for file, why in outcome.failed.items()],
            }
        )
    else:
        print_facts(
            {
                "uploaded": f"{len(outcome.uploaded):,}",
                "there already": f"{len(outcome.skipped):,}",
                "failed": f"{len(outcome.failed):,}",
            }
        )
        note_warnings(
            (photo["name"], warning) for photo in outcome.uploaded for warning in photo["warnings"]
        )
    for file, why in outcome.failed.items():
        fail(f"{file}: {why}")
    if outcome.failed:
        raise typer.Exit(1)


def remove(
    survey: SurveyName,
    names: Annotated[list[str], typer.Argument(help="Names of files, as they were uploaded.")],
    server: Server = HERE,
) -> None:
    """Take files out of a survey; run it again for figures without them."""
    with connect(server) as client:
        found = client.find_survey(survey)
        unknown = 0
        for name in names:
            try:
                client.delete_orthophoto(found["id"], name)
                note(f"{name} is removed")
            except NotFound as exc:
                unknown += 1
                fail(str(exc))
    if unknown:
        raise typer.Exit(1)
