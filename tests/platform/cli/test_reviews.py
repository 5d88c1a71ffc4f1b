"""From a survey to training data on the command line: out to a GIS, judged there, back, and cut."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from cli_world import Cli
from pavemap.platform.cli.remote import connect
from pavemap.platform.reviews import review_import
from pavemap.training.data.datasets import check_sources, read_source
from pavemap.training.data_source import DataSource
from scenes import ORIGIN_X, ORIGIN_Y, UTM

FIELDS = ("--id-field", "ref", "--name-field", "label", "--width-field", "wide")


@pytest.fixture
def surveyed(cli: Cli, roads: Path, tiles: Path, worker: None) -> str:
    """The drawn road, its tiles surveyed."""
    cli("network", "import", roads, "--name", "town", "--segment-length", 1, *FIELDS)
    created = cli("survey", "create", "Spring", "--network", "town", "--json")
    cli("survey", "upload", "Spring", tiles)
    cli("survey", "run", "Spring", "--wait")
    return str(created.json["id"])


def judged(file: Path, target: Path) -> Path:
    """Do what a person does in a GIS: judge two cracks, draw one, and outline what was looked at."""
    lines = gpd.read_file(file, layer="cracks").sort_values("length_m", ascending=False)
    assert lines["verdict"].isna().all()
    lines.iloc[0, lines.columns.get_loc("verdict")] = "Confirmed"
    lines.iloc[1, lines.columns.get_loc("verdict")] = "rejected"
    missed = shapely.LineString(
        [(ORIGIN_X + 2.1, ORIGIN_Y - 0.5), (ORIGIN_X + 2.3, ORIGIN_Y - 0.5)]
    )
    drawn = gpd.GeoDataFrame(
        {"verdict": ["drawn"], "width_mm": [8.0], "note": ["hair"]}, geometry=[missed], crs=UTM
    )
    both = pd.concat([lines, drawn.to_crs(lines.crs)], ignore_index=True)
    both.to_file(target, layer="cracks", driver="GPKG")
    area = shapely.box(ORIGIN_X + 0.1, ORIGIN_Y - 1.1, ORIGIN_X + 2.3, ORIGIN_Y - 0.1)
    areas = gpd.GeoDataFrame({"note": ["all"]}, geometry=[area], crs=UTM)
    areas.to_file(target, layer="reviewed_areas", driver="GPKG", mode="a")
    return target


def test_a_note_of_several_lines_is_a_row(cli: Cli, surveyed: str) -> None:
    with connect(os.environ["PAVEMAP_SERVER"]) as client:
        (first, *_), *_ = client.cracks(surveyed)
        said = {"crack_id": first["id"], "verdict": "rejected", "note": "patch\n999   confirmed"}
        review = {"type": "Feature", "geometry": None, "properties": said}
        client.add_reviews(surveyed, [review])
    _, _, row = cli("review", "list", "Spring").out.splitlines()
    assert "patch 999 confirmed" in row


def test_reviews_go_out_to_a_gis_and_back_and_become_training_data(
    cli: Cli, surveyed: str, tmp_path: Path
) -> None:
    found = len(cli("cracks", surveyed, "--limit", 1000, "--json").json["features"])
    assert found >= 3
    cli("review", "export", "Spring", "-o", tmp_path / "review.gpkg")
    said = cli.fails("review", "export", "Spring", "-o", tmp_path / "review.gpkg")
    assert "is there already" in said.err

    with closing(sqlite3.connect(tmp_path / "review.gpkg")) as package:
        styles = dict(package.execute("SELECT f_table_name, styleQML FROM layer_styles").fetchall())
    assert set(styles) == {"cracks", "reviewed_areas"}
    form = ElementTree.fromstring(styles["cracks"].partition("'SYSTEM'>")[2])
    choices = [each.get("value") for each in form.iterfind(".//config//Option[@type='QString']")]
    assert choices == ["", "confirmed", "rejected", "drawn"]

    file = judged(tmp_path / "review.gpkg", tmp_path / "judged.gpkg")
    answer = cli("review", "import", "Spring", file, "--reviewer", "Ada", "--json").json
    assert answer["verdicts"] == {"confirmed": 1, "rejected": 1, "drawn": 1}
    assert answer["without_verdict"] == found - 2
    assert (answer["reviews_added"], answer["areas_added"]) == (3, 1)
    again = cli("review", "import", "Spring", file, "--reviewer", "Ada", "--json").json
    assert (again["reviews_added"], again["reviews_unchanged"]) == (0, 3)
    assert again["areas_unchanged"] == 1

    # What comes out now has the verdicts in it, and changes nothing when it comes back.
    cli("review", "export", surveyed, "-o", tmp_path / "later.gpkg")
    lines = gpd.read_file(tmp_path / "later.gpkg", layer="cracks")
    assert len(lines) == found + 1
    verdicts = lines["verdict"].dropna().sort_values().tolist()
    assert verdicts == ["confirmed", "drawn", "rejected"]
    assert len(gpd.read_file(tmp_path / "later.gpkg", layer="reviewed_areas")) == 1
    back = cli("review", "import", "Spring", tmp_path / "later.gpkg", "--json").json
    assert (back["reviews_unchanged"], back["areas_unchanged"]) == (3, 1)

    listed = cli("review", "list", "Spring", "--verdict", "drawn", "--json").json["features"]
    assert [each["properties"]["note"] for each in listed] == ["hair"]
    table = cli("review", "list", "Spring").out
    assert "Ada" in table
    assert "when (UTC)" in table
    assert "all" in cli("review", "list", "Spring", "--areas").out

    made = cli("training-data", "export", "Spring", "-o", tmp_path / "set", "--json").json
    cli("training-data", "export", "Spring", "-o", tmp_path / "twin", "--chip-px", 512)
    files = sorted(path.relative_to(tmp_path / "set") for path in (tmp_path / "set").rglob("*.*"))
    assert len(files) == 2 * made["images"] + 1
    for name in files:
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "twin" / name).read_bytes()
    source = DataSource(folder=tmp_path / "set")
    assert check_sources([source]) == made["images"]
    images = read_source(source)
    assert sum(int(image.crack.sum()) for image in images) == made["pixels"]["crack"]
    # Detected cracks are dark (45), asphalt is about 140: labels lie on what they label.
    dark = np.concatenate([image.pixels[image.crack].mean(axis=1) for image in images])
    sound = ~np.concatenate([(image.crack | image.ignore).ravel() for image in images])
    ground = np.concatenate([image.pixels.mean(axis=2).ravel() for image in images])[sound]
    assert np.median(dark) < 80
    assert np.median(ground) == pytest.approx(140, abs=5)
    said = cli.fails("training-data", "export", "Spring", "-o", tmp_path / "set")
    assert "is there already" in said.err

    said = cli.fails("review", "delete", "Spring", 999_999, listed[0]["id"])  # one is gone already
    assert "no review 999999" in said.err
    assert "1 taken back" in said.err
    (area,) = cli("review", "list", "Spring", "--areas", "--json").json["features"]
    cli("review", "delete", "Spring", "--areas", area["id"])
    assert len(cli("review", "list", "Spring", "--json").json["features"]) == 2
    said = cli.fails("training-data", "export", "Spring", "-o", tmp_path / "none")
    assert "reviewed whole" in said.err
    assert not (tmp_path / "none").exists()

    # The cracks of a plain export serve as well, with a field more.
    cli("export", "Spring", "-o", tmp_path / "plain.gpkg")
    lines = gpd.read_file(tmp_path / "plain.gpkg", layer="cracks").assign(verdict="confirmed")
    lines.to_file(tmp_path / "plain.gpkg", layer="cracks", driver="GPKG")
    last = cli("review", "import", "Spring", tmp_path / "plain.gpkg", "--json").json
    assert (last["reviews_added"], last["reviews_replaced"]) == (found, 2)


def test_figures_heed_reviews_once_they_are_applied_until_that_is_undone(
    cli: Cli, surveyed: str, tmp_path: Path
) -> None:
    def cracks() -> pd.DataFrame:
        return pd.DataFrame(
            each["properties"] | {"id": each["id"]}
            for each in cli("cracks", "Spring", "--limit", 1000, "--json").json["features"]
        )

    assert "has no reviews" in cli.fails("review", "apply", "Spring").err
    as_found = cli("survey", "status", "Spring", "--json").json
    assert as_found["heeded_reviews"] is None
    cli("review", "export", "Spring", "-o", tmp_path / "review.gpkg")
    cli("review", "import", "Spring", judged(tmp_path / "review.gpkg", tmp_path / "judged.gpkg"))
    before = cracks()
    rejected = before["length_m"].nlargest(2).iloc[1]

    said = cli("review", "apply", "Spring", "--wait")
    assert "heed 3 reviews" in said.out
    after = cracks()
    lost = set(before["length_m"].round(6)) - set(after["length_m"].round(6))
    assert lost == {round(rejected, 6)}
    (drawn,) = after[after["model"].isna()].itertuples()
    assert (drawn.length_m, drawn.width_mean_mm) == pytest.approx((0.2, 8.0), rel=1e-3)
    corrected = cli("survey", "status", "Spring", "--json").json
    length = as_found["summary"]["crack_length_m"] - rejected + drawn.length_m
    assert corrected["summary"]["crack_length_m"] == pytest.approx(length, rel=1e-6)
    assert (corrected["heeded_reviews"], corrected["attention"]) == (3, "")
    cli("export", "Spring", "-o", tmp_path / "corrected.gpkg")
    told = pyogrio.read_info(tmp_path / "corrected.gpkg", layer="segments")["layer_metadata"]
    assert "as corrected by 3 reviews" in str(told)
    assert "drawn" in cli("cracks", "Spring", "--limit", 1000).out

    # A file that goes out now still has each line once, and changes nothing when it comes back.
    cli("review", "export", "Spring", "-o", tmp_path / "later.gpkg")
    lines = gpd.read_file(tmp_path / "later.gpkg", layer="cracks")
    assert len(lines) == len(before) + 1
    verdicts = lines["verdict"].dropna().sort_values().tolist()
    assert verdicts == ["confirmed", "drawn", "rejected"]
    back = cli("review", "import", "Spring", tmp_path / "later.gpkg", "--json").json
    assert back.get("reviews_added", 0) == back.get("reviews_replaced", 0) == 0
    assert json.loads(cli("review", "apply", "Spring", "--json").out)["state"] == "done"

    (line,) = cli("review", "list", "Spring", "--verdict", "drawn", "--json").json["features"]
    cli("review", "delete", "Spring", line["id"])
    assert "apply them again" in cli("survey", "status", "Spring").err
    cli("review", "apply", "Spring", "--wait")
    assert len(cracks()) == len(before) - 1
    again = cli("review", "apply", "Spring", "--undo", "--wait", "--json").json
    assert again["summary"] == as_found["summary"]
    assert (again["heeded_reviews"], again["attention"]) == (None, "")


def test_two_reviewers_do_not_undo_each_other(cli: Cli, surveyed: str, tmp_path: Path) -> None:
    """Both export; Ada corrects one verdict, Bob another; Bob's file still has Ada's former one."""

    def change(name: str, verdicts: dict[int, str]) -> Path:
        lines = gpd.read_file(tmp_path / name, layer="cracks").sort_values("crack_id")
        for row, verdict in verdicts.items():
            lines.iloc[row, lines.columns.get_loc("verdict")] = verdict
        lines.to_file(tmp_path / f"changed-{name}", layer="cracks", driver="GPKG")
        return tmp_path / f"changed-{name}"

    def send(file: Path, reviewer: str) -> dict[str, int]:
        answer = cli("review", "import", "Spring", file, "--reviewer", reviewer, "--json").json
        kinds = ("added", "replaced", "unchanged", "overtaken")
        return {kind: answer[f"reviews_{kind}"] for kind in kinds}

    def stands() -> list[tuple[str, str]]:
        found = cli("review", "list", "Spring", "--json").json["features"]
        said = sorted((each["properties"] for each in found), key=lambda each: each["crack_id"])
        return [(each["verdict"], each["reviewer"]) for each in said]

    cli("review", "export", "Spring", "-o", tmp_path / "first.gpkg")
    send(change("first.gpkg", {0: "confirmed", 1: "confirmed"}), "Ada")
    for name in ("ada.gpkg", "bob.gpkg"):
        cli("review", "export", "Spring", "-o", tmp_path / name)
    send(change("ada.gpkg", {0: "rejected"}), "Eve")
    assert stands() == [("rejected", "Ada"), ("confirmed", "Ada")]
    told = send(change("bob.gpkg", {2: "rejected"}), "Bob")
    assert told == {"added": 1, "replaced": 0, "unchanged": 2, "overtaken": 0}
    assert stands() == [("rejected", "Ada"), ("confirmed", "Ada"), ("rejected", "Bob")]

    # What both have changed: the last word counts, and is told.
    ada = change("ada.gpkg", {0: "rejected", 2: "confirmed"})
    said = cli("review", "import", "Spring", ada, "--reviewer", "Ada")
    assert "1 judged by others, or sent before, since the file was exported" in said.err
    assert stands() == [("rejected", "Ada"), ("confirmed", "Ada"), ("confirmed", "Ada")]


def test_what_the_server_refuses_is_named_as_in_the_file(
    cli: Cli, roads: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent are those that judge no crack first, then crack by crack: here #4, then #2, then #3."""
    monkeypatch.setattr(review_import, "BATCH", 1)
    cli("network", "import", roads, "--name", "town", *FIELDS)
    cli("survey", "create", "Spring", "--network", "town")
    cli("survey", "upload", "Spring", tiles)

    def answer(*, third: float, note: str = "") -> str:
        lines = [
            shapely.LineString(
                [(ORIGIN_X + x, ORIGIN_Y - 0.5), (ORIGIN_X + x + 0.1, ORIGIN_Y - 0.5)]
            )
            for x in (0.1, 0.5, third, 1.5)
        ]
        fields = {
            "verdict": [None, "confirmed", "rejected", "drawn"],
            "crack_id": [1, 2, 3, None],
            "width_mm": [8.0] * 4,
            "note": ["", note, "", ""],
        }
        frame = gpd.GeoDataFrame(fields, geometry=lines, crs=UTM).to_crs(4326)
        frame.to_file(tmp_path / "judged.geojson")
        return cli.fails("review", "import", "Spring", tmp_path / "judged.geojson").err

    said = answer(third=5000.0)
    assert "feature #3 lies beside all imagery" in said
    assert "(features stored before: 2)" in said
    said = answer(third=1.0, note="x" * 3000)
    assert "feature #2 properties/note: String should have at most 2000" in said
    assert "(features stored before: 1)" in said
    assert len(cli("review", "list", "Spring", "--json").json["features"]) == 2


def test_a_survey_without_cracks_is_reviewed_by_areas_alone(
    cli: Cli, roads: Path, tiles: Path, tmp_path: Path
) -> None:
    cli("network", "import", roads, "--name", "town", *FIELDS)
    cli("survey", "create", "Spring", "--network", "town")
    cli("survey", "upload", "Spring", tiles)
    cli("review", "export", "Spring", "-o", tmp_path / "review.gpkg")
    area = shapely.box(ORIGIN_X + 0.1, ORIGIN_Y - 1.1, ORIGIN_X + 0.3, ORIGIN_Y - 0.1)
    areas = gpd.GeoDataFrame({"reviewer": ["Ada"]}, geometry=[area], crs=UTM).to_crs(4326)
    areas.to_file(tmp_path / "areas.geojson")

    said = cli("review", "import", "Spring", "--areas", tmp_path / "areas.geojson")
    assert said.out == "areas: 1 added, 0 replaced, 0 unchanged\n"
    said = cli(
        "review",
        "import",
        "Spring",
        tmp_path / "review.gpkg",
        "--areas",
        tmp_path / "areas.geojson",
    )
    assert said.out == "areas: 0 added, 0 replaced, 1 unchanged\n"
    assert "name a file" in cli.fails("review", "import", "Spring").err
    made = cli("training-data", "export", "Spring", "-o", tmp_path / "set", "--json").json
    assert made["pixels"]["crack"] == 0
    assert made["pixels"]["sound"] == pytest.approx(100 * 500, rel=0.02)


def test_other_peoples_labels_become_training_data_without_a_server(
    tiles: Path, tmp_path: Path
) -> None:
    cli = Cli()
    line = shapely.LineString([(ORIGIN_X + 0.2, ORIGIN_Y - 0.5), (ORIGIN_X + 1.2, ORIGIN_Y - 0.5)])
    lines = gpd.GeoDataFrame({"w": [8.0]}, geometry=[line], crs=UTM)
    lines.to_crs(4326).to_file(tmp_path / "labels.geojson")
    options = ("--width-field", "w", "-o", tmp_path / "gis", "--json")
    made = cli("training-data", "import-gis", tmp_path / "labels.geojson", tiles, *options).json
    # A metre of 8 mm in pixels of 2 mm, and two half circles of 2 pixels radius.
    assert made["pixels"]["crack"] == pytest.approx(500 * 4 + np.pi * 4, abs=6)

    folder = tmp_path / "gis"
    images = sorted((folder / "images").iterdir())
    coco = {
        "images": [
            {"id": number, "file_name": each.name, "width": 512, "height": 512}
            for number, each in enumerate(images)
        ],
        "categories": [{"id": 1, "name": "crack"}],
        "annotations": [
            {"image_id": 0, "category_id": 1, "segmentation": [[10, 10, 20, 10, 20, 12, 10, 12]]}
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    place = ("-o", tmp_path / "coco", "--gsd", 0.002)
    said = cli("training-data", "import-coco", tmp_path / "coco.json", folder / "images", *place)
    assert "crack 0.00%" in said.out
    assert (
        sum(int(each.crack.sum()) for each in read_source(DataSource(folder=tmp_path / "coco")))
        == 20
    )
    said = cli.fails("training-data", "import-coco", tmp_path / "coco.json", folder, *place)
    assert "is missing" in said.err or "is there already" in said.err
