"""Labels of others from the command line, and what makes one doubt them."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import shapely

from cli_world import Cli
from scenes import ORIGIN_X, ORIGIN_Y, UTM
from training.drawing import write_set


def test_labels_that_say_crack_nearly_everywhere_are_doubted(tiles: Path, tmp_path: Path) -> None:
    cli = Cli()
    pairs = write_set(tmp_path / "pairs", inverted=True)
    command = ("training-data", "import-pairs", pairs, "-o")
    said = cli(*command, tmp_path / "wrong", "--json")
    assert "% of the known pixels are crack: the masks may be inverted" in said.err
    assert "(--inverted)" in said.err
    assert str(tmp_path / "wrong") in said.err
    assert said.json["pixels"]["crack"] > said.json["pixels"]["sound"]
    assert not cli(*command, tmp_path / "right", "--inverted").err
    said = cli(*command, tmp_path / "named", "--crack-value", 255)
    assert "--crack-value may name what is sound" in said.err
    wide = shapely.LineString([(ORIGIN_X, ORIGIN_Y - 0.5), (ORIGIN_X + 1.2, ORIGIN_Y - 0.5)])
    gpd.GeoDataFrame(geometry=[wide.buffer(9.0)], crs=UTM).to_file(tmp_path / "wide.geojson")
    lines = tmp_path / "wide.geojson"
    said = cli("training-data", "import-gis", lines, tiles, "-o", tmp_path / "gis")
    assert "the labelled areas too small (--areas)" in said.err
