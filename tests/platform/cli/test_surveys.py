"""A survey from the command line: network, tiles, run, figures and files, over a real API and PostGIS."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import geopandas as gpd
import pytest
from sqlalchemy import Connection, Engine, text

from cli_world import Cli
from pavemap.geo.file_digest import file_digest
from pavemap.platform.api.schemas.networks import NetworkOptions
from pavemap.platform.cli import networks
from pavemap.platform.cli.remote import connect
from pavemap.platform.settings import Settings
from pavemap.training.models.shipped_models import default_card

FIELDS = ("--id-field", "ref", "--name-field", "label", "--width-field", "wide")


@pytest.fixture
def survey(cli: Cli, roads: Path) -> str:
    """A survey of the drawn road in segments of a metre, without imagery."""
    cli("network", "import", roads, "--name", "town", "--segment-length", 1, *FIELDS)
    created = cli(
        "survey", "create", "Spring", "--network", "town", "--date", "2026-04-28", "--json"
    )
    return str(created.json["id"])


@pytest.fixture
def surveyed(cli: Cli, survey: str, tiles: Path, worker: None) -> str:
    """The same, its tiles surveyed."""
    cli("survey", "upload", survey, tiles)
    cli("survey", "run", survey, "--wait")
    return survey


def listed(survey: str) -> list[dict[str, Any]]:
    """The survey's files."""
    with connect(os.environ["PAVEMAP_SERVER"]) as client:
        return [photo for page in client.orthophotos(survey) for photo in page]


def test_a_network_is_imported_once(cli: Cli, roads: Path) -> None:
    first = cli("network", "import", roads, "--segment-length", 1, *FIELDS, "--json").json
    again = cli("network", "import", roads, "--segment-length", 1, *FIELDS, "--json").json

    assert (first["name"], first["segments"], first["id"]) == ("roads", 5, again["id"])
    assert [each["name"] for each in cli("network", "list", "--json").json] == ["roads"]
    assert "roads" in cli("network", "list").out


def test_uploads_go_on_where_they_stopped(cli: Cli, survey: str, tiles: Path) -> None:
    first = cli("survey", "upload", "Spring", tiles / "tile_0_0.tif", "--json").json
    rest = cli("survey", "upload", survey, f"{tiles}/*.tif", "--parallel", 2, "--json").json

    assert [each["name"] for each in first["uploaded"]] == ["tile_0_0.tif"]
    assert [each["name"] for each in rest["uploaded"]] == ["tile_0_1.tif", "tile_0_2.tif"]
    assert rest["skipped"] == [str(tiles / "tile_0_0.tif")]
    assert "3" in cli("survey", "upload", survey, tiles).out


def test_files_that_moved_on_by_a_name_are_all_there_afterwards(
    cli: Cli, survey: str, tiles: Path, tmp_path: Path
) -> None:
    """One that is there already is sent again if the upload gives its name to another."""
    folder = tmp_path / "moved"
    folder.mkdir()
    first, second, third = sorted(tiles.iterdir())
    for name, content in (("1.tif", first), ("2.tif", second)):
        (folder / name).write_bytes(content.read_bytes())
    cli("survey", "upload", survey, folder)
    for name, content in (("1.tif", third), ("2.tif", first), ("3.tif", second)):
        (folder / name).write_bytes(content.read_bytes())
    said = cli.fails("survey", "upload", survey, folder, "--parallel", 1, "--json")
    assert [Path(each["file"]).name for each in said.json["failed"]] == ["1.tif", "2.tif"]
    assert "add --replace" in said.err
    cli("survey", "upload", survey, folder, "--parallel", 1, "--replace")

    there = listed(survey)
    assert {each["sha256"] for each in there} == {file_digest(each) for each in tiles.iterdir()}
    assert len(cli("survey", "upload", survey, folder, "--json").json["skipped"]) == 3
    (folder / "3.tif").rename(folder / "4.tif")  # whose name goes to no other: nothing to send
    assert len(cli("survey", "upload", survey, folder, "--json").json["skipped"]) == 3
    (folder / "2.tif").replace(
        folder / "1.tif"
    )  # content that is there, under a name that is not its
    replaced = cli("survey", "upload", survey, folder / "1.tif", "--replace", "--json").json
    assert len(replaced["uploaded"]) == 1
    (folder / "2.tif").write_bytes(third.read_bytes())
    cli("survey", "upload", survey, folder / "2.tif", "--replace")
    again = cli("survey", "upload", survey, folder, "--again", "--json").json
    assert (len(again["uploaded"]), again["skipped"]) == (3, [])


def test_a_bad_file_stops_no_other(cli: Cli, survey: str, tiles: Path, tmp_path: Path) -> None:
    whole = (tiles / "tile_0_0.tif").read_bytes()
    (tmp_path / "half.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "whole.tif").write_bytes(whole)
    (tmp_path / "picture.jp2").touch()

    said = cli.fails("survey", "upload", survey, tmp_path, "--json")

    assert [each["name"] for each in said.json["uploaded"]] == ["whole.tif"]
    assert [Path(each["file"]).name for each in said.json["failed"]] == ["half.tif"]
    assert said.err.startswith("Warning: left out, as only GeoTIFFs are read: picture.jp2; ")
    assert f"\nError: {tmp_path / 'half.tif'}: " in said.err


def test_a_survey_is_run_and_its_figures_are_shown(cli: Cli, surveyed: str) -> None:
    status = cli("survey", "status", "Spring", "--json").json
    assert status["state"] == "done"
    assert status["cells"]["failed"] == 0
    # 2.4 m of the road are under the tiles, 1 m wide, less the strip along the imagery's end.
    assert status["summary"]["imaged_m2"] == pytest.approx(2.4, abs=0.03)
    assert status["captured_on"] == "2026-04-28"

    found = cli("segments", surveyed, "--json").json["features"]
    densities = [feature["properties"]["density_m_per_m2"] for feature in found]
    assert densities[:3] == sorted(densities[:3], reverse=True)
    assert densities[0] > 0.0
    table = cli("segments", "Spring", "--limit", 1).out
    assert "High Street" in table
    assert len(table.splitlines()) == 3

    cracks = cli("cracks", surveyed, "--limit", 100, "--json").json["features"]
    assert len(cracks) == status["summary"]["crack_count"]
    assert "mean width mm" in cli("cracks", surveyed).out


def test_running_again_changes_nothing(cli: Cli, surveyed: str) -> None:
    before = cli("survey", "status", surveyed, "--json").json["summary"]

    said = cli("survey", "run", surveyed, "--wait")

    assert "nothing has changed" in said.err
    assert cli("survey", "status", surveyed, "--watch", "--json").json["summary"] == before


def test_exports_hold_what_the_server_says(cli: Cli, surveyed: str, tmp_path: Path) -> None:
    summary = cli("survey", "status", surveyed, "--json").json["summary"]
    target = tmp_path / "out.gpkg"

    made = cli("export", "Spring", "-o", target, "--json").json

    cracks, segments = (gpd.read_file(target, layer=name) for name in ("cracks", "segments"))
    assert made["features"] == {"segments": len(segments), "cracks": len(cracks)}
    assert len(cracks) == summary["crack_count"]
    assert segments["crack_length_m"].sum() == pytest.approx(summary["crack_length_m"])
    assert set(segments.geom_type) == {"MultiPolygon"}
    assert (cracks["model"] == default_card().model_id).all()

    said = cli("export", surveyed, "-o", tmp_path / "out.geojson")
    assert said.out.splitlines() == [str(tmp_path / f"out{end}.geojson") for end in ("", "_cracks")]
    assert len(json.loads((tmp_path / "out_cracks.geojson").read_text())["features"]) == len(cracks)

    cli("export", surveyed, "-o", tmp_path / "out.csv", "--layer", "segments")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == len(segments)


def test_a_box_limits_what_is_listed(cli: Cli, surveyed: str) -> None:
    everywhere = cli("segments", surveyed, "--json").json["features"]

    nowhere = cli("segments", surveyed, "--bbox", "10,50,10.1,50.1", "--json").json["features"]

    assert everywhere
    assert nowhere == []
    assert "bbox: give four numbers" in cli.fails("segments", surveyed, "--bbox", "1,2").err


def test_unknown_and_ambiguous_surveys_are_told(cli: Cli, survey: str) -> None:
    assert "there is no survey 'Autumn'" in cli.fails("survey", "status", "Autumn").err
    said = cli.fails("survey", "create", "Spring", "--network", "town").err
    assert f"a survey is called 'Spring' already ({survey}, created)" in said
    with connect(os.environ["PAVEMAP_SERVER"]) as client:
        client.create_survey({"name": "Spring", "network": "town"})
    assert "2 surveys are called 'Spring'" in cli.fails("survey", "status", "Spring").err
    assert "Spring" in cli("survey", "list").out


@pytest.mark.parametrize("given", ["12.05.2026", "20260512", "2026-02-30"])
def test_a_date_is_written_as_rfc_3339_has_it(cli: Cli, given: str) -> None:
    said = cli.fails("survey", "create", "May", "--network", "town", "--date", given).err
    assert f"--date '{given}' is no date; write it as YYYY-MM-DD" in said


def test_a_file_is_removed_and_its_ground_is_not_surveyed_any_more(
    cli: Cli, surveyed: str, settings: Settings
) -> None:
    before = cli("survey", "status", surveyed, "--json").json
    name = listed(surveyed)[0]["name"]
    assert "no orthophoto 'other.tif'" in cli.fails("survey", "remove", surveyed, "other.tif").err
    cli("survey", "remove", surveyed, name)
    after = cli("survey", "run", surveyed, "--wait", "--json").json
    assert name not in [photo["name"] for photo in listed(surveyed)]
    assert after["orthophotos"] == before["orthophotos"] - 1
    assert 0.0 < after["imaged_m2"] < before["imaged_m2"]
    stored = list(Path(settings.storage_location, "orthophotos").rglob("*.tif"))
    assert len(stored) == after["orthophotos"]


def test_a_survey_without_imagery_does_not_run(cli: Cli, survey: str) -> None:
    said = cli.fails("survey", "run", survey)

    assert said.err.startswith("Error: ")
    assert "imagery" in said.err


def test_change_is_told_and_exported(cli: Cli, surveyed: str, tiles: Path, tmp_path: Path) -> None:
    """The same tiles again: nothing is new, and nothing significant."""
    measures = tmp_path / "measures.json"
    measures.write_text('{"min_coverage": 1.0}')
    made = cli(
        *("survey", "create", "Autumn", "--network", "town", "--measures", measures),
        *("--position-error", 0.01, "--date", "2026-10-05", "--json"),
    ).json
    assert (made["measures"]["min_coverage"], made["position_rmse_m"]) == (1.0, 0.01)
    assert "has not been run" in cli("export", "Autumn", "-o", tmp_path / "none.csv").err
    assert "has not been run" in cli("segments", "Autumn").err
    assert "has not been run" in cli("segments", "Autumn", "--json").err
    cli("survey", "upload", "Autumn", tiles)
    cli("survey", "run", "Autumn", "--wait")

    target = tmp_path / "change.gpkg"
    said = cli("change", "Autumn", "--since", "Spring", "-o", target)
    assert "--since takes the earlier" not in said.err
    assert "--since takes the earlier" in cli("change", "Spring", "--since", "Autumn").err
    assert "of 3 segments worse, 0 better" in said.out
    assert said.out.splitlines()[-1] == str(target)
    with closing(sqlite3.connect(target)) as package:
        told = package.execute(
            "SELECT description FROM gpkg_contents WHERE table_name IN ('changes', 'crack_changes')"
        ).fetchall()
    assert len(told) == 2
    for (description,) in told:
        assert description.startswith("Survey 'Autumn' (model ")
        assert ") with 'Spring' (model " in description
        assert "the same within 0." in description
    changes, cracks = (gpd.read_file(target, layer=name) for name in ("changes", "crack_changes"))
    assert changes["new_m"].sum() == changes["gone_m"].sum() == 0.0
    assert changes["unchanged_m"].sum() == pytest.approx(cracks["length_m"].sum())
    assert set(cracks["kind"]) == {"unchanged"}
    assert set(cracks["segment_key"]) == set(changes["segment_key"][changes["unchanged_m"] > 0.0])
    files = [str(tmp_path / f"change{end}.csv") for end in ("", "_crack_changes")]
    said = cli("change", "Autumn", "--since", "Spring", "-o", files[0])
    assert said.out.splitlines()[-2:] == files
    said = cli("change", "Autumn", "--since", "Spring", "-o", files[0], "--json")
    assert said.json["files"] == files
    assert not changes["significant"].fillna(False).any()
    listed = cli("change", "Autumn", "--since", "Spring", "--limit", 2, "--json").json
    assert len(listed["features"]) == 2
    assert "an earlier one" in cli.fails("change", "Autumn", "--since", "Autumn").err

    table = cli("segments", "Autumn")
    assert "too little coverage" in table.err
    assert "*" in table.out
    assert "2 mm" in cli("survey", "status", "Autumn").out
    assert cli("survey", "status", "Autumn", "--failed", "--json").json == []


def test_a_survey_deleted_leaves_nothing_and_then_its_network_can_go(
    cli: Cli, surveyed: str, tiles: Path, settings: Settings, engine: Engine
) -> None:
    other = cli("survey", "create", "Autumn", "--network", "town", "--json").json["id"]
    cli("survey", "upload", other, next(tiles.iterdir()))
    with engine.connect() as connection:
        named = connection.scalars(
            text(
                "SELECT table_name FROM information_schema.columns WHERE column_name = 'survey_id'"
            )
        )
        tables = sorted(named)
        found = {table: _rows(connection, table, surveyed) for table in tables}
    assert {"cell", "condition", "crack", "fragment", "orthophoto", "piece"} <= set(tables)
    assert found["crack"] > 0
    assert found["orthophoto"] == 3

    cli.fails("survey", "delete", surveyed)  # nobody said yes
    assert "delete them first" in cli.fails("network", "delete", "town", "--yes").err
    assert cli("survey", "status", surveyed, "--json").json["state"] == "done"
    cli("survey", "delete", "Spring", "--yes")

    with engine.connect() as connection:
        assert {table: _rows(connection, table, surveyed) for table in tables} == dict.fromkeys(
            tables, 0
        )
    kept = [path.parent.name for path in Path(settings.storage_location).rglob("*.tif")]
    assert kept == [other]
    assert "there is no survey" in cli.fails("survey", "status", surveyed).err
    cli("survey", "delete", other, "--yes")
    cli("network", "delete", "town", "--yes")
    assert cli("network", "list", "--json").json == []


def _rows(connection: Connection, table: str, survey: str) -> int:
    count = text(f"SELECT count(*) FROM {table} WHERE survey_id = CAST(:id AS uuid)")
    return int(connection.scalar(count, {"id": survey}) or 0)


def test_a_file_of_measures_that_is_none_is_told(cli: Cli, roads: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "measures.json"
    for content, said in (("{", "is no JSON"), ("[]", "must hold an object")):
        wrong.write_text(content)
        failed = cli.fails("survey", "create", "S", "--network", "town", "--measures", wrong)
        assert said in failed.err


def test_the_import_has_every_option_of_the_api(
    cli: Cli, roads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = {
        "name": "n",
        "id": "1",
        "roads": 1,
        "segments": 1,
        "length_m": 1.0,
        "source_crs": "x",
    }
    client = Mock()
    client.import_network.return_value = {**network, "report": {"counts": {}}}
    monkeypatch.setattr(networks, "connect", lambda _: nullcontext(client))
    said = {"level": "z", "bridge": "b", "tunnel": "t"}
    fields = [part for kind, field in said.items() for part in (f"--{kind}-field", field)]

    cli("network", "import", roads, *fields, "--width-unit", "us-ft")

    options = client.import_network.call_args.kwargs["options"]
    given_apart = {"name", "filename"}
    assert set(options) == set(NetworkOptions.model_fields) - given_apart
    assert {kind: options[f"{kind}_field"] for kind in said} == said
    assert options["width_unit"] == "us-ft"
