"""`pavemap survey`: make a survey, send imagery to it, run it, watch it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pavemap.geo.errors import BadInput, Conflict
from pavemap.geo.limits import MAX_POSITION_RMSE_M
from pavemap.platform.cli import imagery
from pavemap.platform.cli.console import (
    Json,
    Yes,
    confirmed,
    counted,
    note,
    print_facts,
    print_json,
    print_table,
)
from pavemap.platform.cli.remote import HERE, Server, SurveyName, connect
from pavemap.platform.cli.survey_progress import cell_bar, finished, report

app = typer.Typer(help="Surveys: imagery in, cracks out.", no_args_is_help=True)

Survey = dict[str, Any]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    network: Annotated[str, typer.Option(help="Id or name of an imported network.")],
    captured_on: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Day the imagery was taken.")
    ] = None,
    gsd: Annotated[
        float | None, typer.Option(help="Metres a pixel to survey at; by default the model's.")
    ] = None,
    crs: Annotated[
        str | None, typer.Option(help="Metric working CRS; by default the UTM zone.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name or id of a model; by default the version in use.")
    ] = None,
    measures: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="JSON file of measure parameters (docs/measures.md)."
        ),
    ] = None,
    position_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=MAX_POSITION_RMSE_M,
            help="Horizontal error of the imagery (radial RMSE), in m.",
        ),
    ] = None,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Make a survey of a network."""
    values = {
        "name": name,
        "network": network,
        "captured_on": captured_on,
        "gsd_m": gsd,
        "crs": crs,
        "model": model,
        "measures": None if measures is None else _read_object(measures),
        "position_rmse_m": position_error,
    }
    _check_date(captured_on)
    with connect(server) as client:
        known = client.surveys_called(name)
        if known:
            raise Conflict(
                f"a survey is called '{name}' already ({known[0]['id']}, {known[0]['state']}); go on with "
                "it, or give this one another name"
            )
        survey = client.create_survey(values)
    if as_json:
        print_json(survey)
        return
    print_facts(
        {
            "survey": survey["name"],
            "id": survey["id"],
            "model": survey["model"],
            "pixel": f"{survey['ground_gsd_m'] * 1000:g} mm",
            "narrowest": f"{survey['smallest_width_mm']:.3g} mm wide cracks are told from wider ones",
            "CRS": survey["crs"],
        }
    )


@app.command("list")
def list_surveys(server: Server = HERE, as_json: Json = False) -> None:
    """List the surveys of a server, the latest first."""
    with connect(server) as client:
        surveys = client.surveys()
    if as_json:
        print_json(surveys)
        return
    rows = [
        [each["name"], each["captured_on"] or "–", each["state"], each["model"], each["id"]]
        for each in surveys
    ]
    print_table(["survey", "date", "state", "model", "id"], rows, spare=("model",))


app.command("upload")(imagery.upload)
app.command("remove")(imagery.remove)


@app.command("delete")
def delete(survey: SurveyName, yes: Yes = False, server: Server = HERE) -> None:
    """Remove a survey for good: its imagery, its cracks and figures, what people said of them."""
    with connect(server) as client:
        found = client.find_survey(survey)
        confirmed(
            f"Delete survey '{found['name']}' and its {counted(found['orthophotos'], 'file')}?",
            yes=yes,
        )
        client.delete_survey(found["id"])
    note(f"{found['name']} is deleted")


@app.command("run")
def run(
    survey: SurveyName,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done.")] = False,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Detect cracks on a survey's imagery; run again it does only what has changed or failed."""
    with connect(server) as client:
        survey_id = client.find_survey(survey)["id"]
        plan = client.run(survey_id)
        if not as_json:
            note(f"{counted(plan['total'], 'cell')}: {_planned(plan)}")
        if wait:
            done = finished(client, survey_id, quiet=as_json)
            report(done, client.summary(survey_id), as_json=as_json)
        elif as_json:
            print_json(plan)


@app.command("status")
def status(
    survey: SurveyName,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it is done.")] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the cells that failed, and why.")
    ] = False,
    server: Server = HERE,
    as_json: Json = False,
) -> None:
    """Tell how far a survey is, and what failed."""
    with connect(server) as client:
        found = client.find_survey(survey)
        if failed:
            pages = client.cells(found["id"], state="failed")
            _print_cells([cell for page in pages for cell in page], as_json=as_json)
            return
        if watch:
            with cell_bar(quiet=as_json) as show:
                found = client.wait(found["id"], on_progress=show)
        report(found, client.summary(found["id"]), as_json=as_json)


def _check_date(given: str | None) -> None:
    from pavemap.platform.api.schemas.common import written_day

    if given is None:
        return
    try:
        written_day(given)
    except ValueError as exc:
        raise BadInput(f"--date '{given}' is no date; {exc}") from exc


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise BadInput(f"{path} is no JSON: {exc}") from exc
    if not isinstance(values, dict):
        raise BadInput(f'{path} must hold an object such as {{"min_coverage": 0.9}}')
    return values


def _print_cells(cells: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(cells)
        return
    rows = [
        [
            f"{cell['col']},{cell['row']}",
            f"{cell['bbox'][0]:.6f},{cell['bbox'][1]:.6f},{cell['bbox'][2]:.6f},{cell['bbox'][3]:.6f}",
            str(cell["attempts"]),
            cell["error"],
        ]
        for cell in cells
    ]
    print_table(["cell", "west,south,east,north", "attempts", "error"], rows)


def _planned(plan: dict[str, Any]) -> str:
    parts = [f"{plan[kind]:,} {kind}" for kind in ("added", "redone", "dropped", "retried")]
    changed = [part for part in parts if not part.startswith("0 ")]
    return ", ".join(changed) or "nothing has changed"
