"""The command line answers at once, and its errors are one sentence with the right exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from cli_world import Cli
from pavemap.platform.cli.console import counted, note_warnings, number, print_table, progress_bars

PAVEMAP = Path(sys.executable).parent / "pavemap"

HEAVY = {
    "fastapi",
    "geopandas",
    "httpx",
    "matplotlib",
    "numpy",
    "rasterio",
    "ray",
    "sqlalchemy",
    "torch",
}


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, json, pavemap.platform.cli.main as m; print(json.dumps(list(sys.modules)))"
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )

    assert not HEAVY & set(json.loads(listed.stdout))


def test_the_program_is_installed_and_says_what_it_can() -> None:
    done = subprocess.run([PAVEMAP, "--help"], capture_output=True, check=True, text=True)

    for command in ("up", "detect", "demo", "network", "survey", "segments", "export", "train"):
        assert f" {command} " in done.stdout


def test_an_error_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [PAVEMAP, "detect", tmp_path / "missing.tif"], capture_output=True, check=False, text=True
    )

    assert done.returncode == 1
    assert done.stderr == (
        f"Error: there is no GeoTIFF at {tmp_path}/missing.tif; name files, folders or a pattern\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_a_signal_ends_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((600, 600), np.uint8))
    for kind in ("images", "masks"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        for name in range(400):
            (tmp_path / "pairs" / kind / f"{name}.png").hardlink_to(tmp_path / "one.png")
    target = tmp_path / "out"
    target.mkdir()
    # Under nohup, or in the background of a script, signals are ignored.
    heard = ["env", "--default-signal=HUP,INT,TERM"]
    command = [*heard, str(PAVEMAP), "training-data", "import-pairs", str(tmp_path / "pairs")]
    command += ["-o", str(target / "set")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as made:
        while not list(target.glob(".*/*/set/images/*")):
            assert made.poll() is None
            time.sleep(0.01)
        made.send_signal(number)
    assert made.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert list(target.iterdir()) == []


def test_debug_shows_where_wherever_it_stands(tmp_path: Path) -> None:
    done = subprocess.run(
        [PAVEMAP, "detect", tmp_path / "missing.tif", "--debug"],
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_who_has_read_enough_hears_no_error() -> None:
    with subprocess.Popen(
        [PAVEMAP, "model", "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        started.stdout.close()
        _, said = started.communicate()

    assert said == b""


def test_wrong_usage_is_exit_code_2() -> None:
    assert "Missing argument" in Cli().fails("survey", "run", code=2).err
    assert "No such option" in Cli().fails("model", "list", "--no-such", code=2).err


def test_an_unforeseen_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.delenv("PAVEMAP_DEBUG", raising=False)
    monkeypatch.setattr("pavemap.training.models.shipped_models.default_model_folder", broken)

    said = Cli().fails("model", "list")

    assert "did not expect (ZeroDivisionError: by zero)" in said.err
    assert "Traceback" not in said.err


def test_a_server_that_is_away_is_named() -> None:
    said = Cli().fails("survey", "list", "--server", "http://127.0.0.1:9")

    assert said.err == (
        "Error: no pavemap answers at http://127.0.0.1:9; start one with `pavemap up`, or name another "
        "with --server or PAVEMAP_SERVER\n"
    )


def test_models_are_listed_with_the_default_first() -> None:
    models = Cli()("model", "list", "--json").json

    assert [model["default"] for model in models].count(True) == 1
    assert models[0]["default"]
    assert all(model["id"].startswith(model["name"]) for model in models)


def test_figures_that_are_not_there_are_dashes() -> None:
    assert number(None, 2) == "–"
    assert number(1234.5, 1, unit="m") == "1,234.5 m"


def test_one_is_not_many() -> None:
    said = [counted(count, "segment") for count in (0, 1, 2, 1001)]
    assert said == ["0 segments", "1 segment", "2 segments", "1,001 segments"]


NAMES = ["Ring [exit 1/2] [/old]", "[bold]", "A:road:B"]


def test_a_table_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["road [m]", "m"], [[name, "1"] for name in NAMES])

    shown = capsys.readouterr().out.splitlines()
    assert [line.rsplit(maxsplit=1)[0] for line in shown if line[-1:] == "1"] == NAMES
    assert shown[0].startswith("road [m]")


def test_progress_shows_file_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bars() as bars:
        for name in NAMES:
            bars.add_task(name)

    shown = capsys.readouterr().err
    assert all(name in shown for name in NAMES)


def test_a_warning_is_said_once_for_all_files(capsys: pytest.CaptureFixture[str]) -> None:
    note_warnings([("a.tif", "too coarse"), ("b.tif", "no mask"), ("c.tif", "too coarse")])

    assert capsys.readouterr().err.splitlines() == [
        "Warning: a.tif and 1 more: too coarse",
        "Warning: b.tif: no mask",
    ]
