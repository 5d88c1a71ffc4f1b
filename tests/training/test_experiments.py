"""Experiments go on where they stopped, draw what the paper draws, and report what was run."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from pavemap.platform.cli.main import app
from pavemap.training.config import load_config
from pavemap.training.data.aiglern import read_aiglern
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingConfig, BadTrainingData
from pavemap.training.experiments import (
    config_runs,
    fitting,
    leave_one_out,
    paper_table,
    self_training,
    trainings,
)
from pavemap.training.experiments.detectors import (
    best_speck_area,
    best_threshold,
    scores_of,
    standardised,
    steady_threshold,
    turned,
    without_specks,
)
from pavemap.training.experiments.images import Split, folds_of, kept_back
from pavemap.training.experiments.ledger import FILE, Ledger, Record
from pavemap.training.experiments.patches_on_device import Draw, PatchesOnDevice
from pavemap.training.experiments.plan import (
    Experiment,
    Options,
    Report,
    Run,
    perform,
    reported,
)
from pavemap.training.experiments.recipes import Recipe
from pavemap.training.experiments.registry import EXPERIMENTS, find_experiment
from pavemap.training.metrics import THRESHOLDS
from pavemap.training.models.card import read_card
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.scoring.pictures import MISSED, RIGHT, WRONG, judged
from training.at_once import names_of, runs_that_name_their_process
from training.drawing import draw_image, mask_of, write_png, write_set
from training.model_folders import write_model_folder

CPU = torch.device("cpu")


KEPT = Path(__file__).parents[2] / "docs" / "experiments"


@pytest.mark.parametrize("folder", sorted(KEPT.iterdir()), ids=lambda folder: folder.name)
def test_a_kept_report_is_what_its_runs_come_to(folder: Path) -> None:
    told = reported(find_experiment(folder.name), folder)
    assert told.text == (folder / "report.md").read_text(encoding="utf-8")
    assert all((folder / picture).is_file() for picture in told.pictures)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_set(folder / "cfd", count=11)
    for name in ("deepcrack_256/train", "crack500_256/train", "uav_cc0"):
        write_set(folder / name, count=2)
    return folder


@pytest.fixture
def options(data: Path, tmp_path: Path) -> Options:
    return Options(data=data, output=tmp_path / "out", iterations=3, stride=4)


class Interrupted(Exception):
    pass


def test_an_interrupted_experiment_goes_on_with_the_runs_that_are_left(options: Options) -> None:
    performed: list[str] = []

    def run(key: str) -> Run:
        def work() -> Record:
            if key == "b" and performed.count("b") == 0:
                performed.append(key)
                raise Interrupted
            performed.append(key)
            return {"value": key}

        return Run(key, work)

    def report(records: dict[str, Record]) -> Report:
        return Report(" ".join(record["value"] for record in records.values()))

    three = Experiment("three", "", lambda _: [run(key) for key in "abc"], report)  # type: ignore[arg-type]
    with pytest.raises(Interrupted):
        perform(three, options)
    path = perform(three, options)
    perform(three, options)
    assert performed == ["a", "b", "b", "c"]
    assert path.read_text() == "a b c"
    with pytest.raises(BadTrainingConfig, match="no run like z"):
        perform(three, replace(options, only=("z",)))


@pytest.mark.parametrize(("count", "more"), [(20, "T-20/seed-0$"), (23, "T-20/seed-0 and 3 more$")])
def test_who_asks_for_an_unknown_run_is_told_which_there_are(
    options: Options, count: int, more: str
) -> None:
    runs = [Run(f"T-{number}/seed-0", dict) for number in range(1, count + 1)]
    many = Experiment("many", "", lambda _: runs, names_of)
    with pytest.raises(BadTrainingConfig, match=f"T-77; .*--only.*: T-1/seed-0, T-2/.*{more}"):
        perform(many, replace(options, only=("T-77",)))


def test_runs_at_once_are_done_in_other_processes_and_one_that_fails_loses_no_other(
    options: Options,
) -> None:
    experiment = Experiment("at-once", "", runs_that_name_their_process, names_of)
    with pytest.raises(BadTrainingConfig, match="can't be done"):
        perform(experiment, replace(options, jobs=2))
    found = Ledger(options.output / "at-once").records()
    assert sorted(found) == ["a", "b"]
    assert os.getpid() not in {record["process"] for record in found.values()}


def test_a_line_cut_short_is_run_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add("a", {"value": 1})
    with (tmp_path / FILE).open("a") as file:
        file.write('{"key": "b", "val')
    assert list(ledger.records()) == ["a"]
    ledger.add("b", {"value": 2})
    assert {key: record["value"] for key, record in ledger.records().items()} == {"a": 1, "b": 2}


def test_the_paper_table_of_a_system_and_the_network(options: Options) -> None:
    only = ("cfd/canny/", "cfd/fan2018/3-iterations/seed-0/stride-4/split")
    path = perform(EXPERIMENTS["paper-table"], replace(options, only=only, folds=2))
    text = path.read_text()
    cfd = text.partition("### AigleRN")[0].splitlines()
    rows = {line.split("|")[1].strip(): line for line in cfd if "±" in line or "fan2018" in line}
    assert "0.4570" in rows["canny"]
    assert "0.9244" in rows["fan2018, 3 iterations, tested every 4 px"]
    assert text.count("no data here") == len(paper_table.AIGLERN)
    assert (path.parent / "paper-table.png").read_bytes().startswith(b"\x89PNG")
    record = Ledger(path.parent).records()["cfd/canny/split"]
    assert set(record["parameters"]) == {"sigma_px", "high", "low_per_high"}
    assert list(record["tests"]["test"]["f1_by_image"]) == ["010"]  # the test list's


def test_studies_run_and_report(options: Options) -> None:
    for name, only in {
        "output-size": ("s-1/", "s-7/"),
        "ratio": ("R-1/", "natural"),
        "plain-recipe": ("seed-0", "seed-1"),
        "towards": ("step-0", "step-12/2-iterations/seed-0/stride-4/fold-1-of"),
    }.items():
        small = replace(options, only=only, iterations=2, folds=10)
        path = perform(find_experiment(name), small)
        assert path.read_text().count("\n| ") == 3, name  # its ruler and two rows
        assert (path.parent / "losses.png").exists()
    records = Ledger(options.output / "towards").records()
    assert (
        len(
            records["step-12/2-iterations/seed-0/stride-4/fold-1-of-10"]["tests"]["cfd"][
                "f1_by_image"
            ]
        )
        == 2
    )
    held = records["step-0/2-iterations/seed-0/stride-4"]["validation"]
    assert held["images"] == 1
    assert held["threshold"] in THRESHOLDS


def test_cross_database_trains_on_each_and_on_half_of_all(
    options: Options, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    sets = dict.fromkeys(("one", "other"), ("cfd", "train", "cfd", "test"))
    for module in ("images", "studies", "study_reports"):
        monkeypatch.setattr(f"pavemap.training.experiments.{module}.SETS", sets)
    path = perform(find_experiment("cross-database"), replace(options, iterations=1))
    records = Ledger(path.parent).records().values()
    assert [record["variant"] for record in records] == ["one", "other", "hybrid"]
    assert all(set(record["tests"]) == {"one", "other"} for record in records)


def test_leaving_one_out_leaves_it_out_of_validation_too(data: Path, options: Options) -> None:
    shutil.copytree(data / "cfd", data / "second", dirs_exist_ok=True)
    config = data / "survey.toml"
    source = '[[{0}]]\nfolder = "{1}"\nlist = "{2}"\n'
    config.write_text(
        'name = "drawn"\noutput = "out"\narchitecture = "survey-unet"\n'
        "architecture_args = { width = 4 }\nbatch_size = 2\ncrop_px = 32\n"
        + "".join(source.format("data", name, "train") for name in ("cfd", "second"))
        + "".join(source.format("validation", name, "train") for name in ("cfd", "second"))
        + source.format("tests", "second", "test")
    )
    whole = replace(options, survey_config=config, iterations=2)
    path = perform(leave_one_out.EXPERIMENT, whole)
    tested = {
        record["left_out"]: {label: scores["images"] for label, scores in record["tests"].items()}
        for record in Ledger(path.parent).records().values()
    }
    assert tested == {"cfd": {"cfd/train": 10}, "second": {"second/test": 1}}
    kept = read_card(path.parent / "models" / "drawn-without-cfd-2-iterations")
    assert [entry.split(" ")[0] for entry in kept.data] == ["second/train"]
    left = leave_one_out.without(load_config(config), "cfd")
    assert left.start_from is None
    assert [config_runs.set_of(s) for s in (*left.data, *left.validation)] == ["second"] * 2


def small_config(options: Options, path: Path, *, start_from: Path | None = None) -> Path:
    path.write_text(
        f'name = "{path.stem}"\noutput = "out"\narchitecture = "survey-unet"\n'
        + (f'start_from = "{start_from}"\n' if start_from else "")
        + "architecture_args = { width = 4 }\nbatch_size = 2\ncrop_px = 32\n"
        f'[[data]]\nfolder = "{options.data / "cfd"}"\n'
    )
    return path


def test_the_study_of_the_loss_changes_the_loss_alone(options: Options, tmp_path: Path) -> None:
    config = small_config(options, tmp_path / "small.toml")
    path = perform(find_experiment("loss"), replace(options, configs=(config,)))
    records = Ledger(path.parent).records()
    assert list(records) == [
        f"small/{loss}/3-iterations/seed-0/stride-4" for loss in ("overlap", "tolerant")
    ]
    first, second = (record["losses"][0][1] for record in records.values())
    assert first != second
    assert path.read_text().count("\n| small |") == 2


def test_a_run_that_is_tested_or_made_otherwise_is_no_run_done_before(
    options: Options, tmp_path: Path
) -> None:
    config = small_config(options, tmp_path / "small.toml")
    asked = replace(options, configs=(config,), stride=1, iterations=1, only=("overlap",))
    loss = find_experiment("loss")
    ledger = Ledger(perform(loss, asked).parent)
    text = perform(loss, replace(asked, symmetries=4, stride=2)).read_text()
    key = "small/overlap/1-iterations/seed-0"
    assert list(ledger.records()) == [
        key, "small, 4 symmetries/overlap/1-iterations/seed-0/stride-2"
    ]  # fmt: skip
    assert text.count("\n| small, 4 symmetries |") == 1
    config.write_text("learning_rate = 0.5\n" + config.read_text())
    with pytest.raises(BadTrainingConfig, match=f"{key} .* another learning_rate, .*--output"):
        perform(loss, asked)
    older = [
        {name: value for name, value in record.items() if name != "settings"}
        for record in ledger.records().values()
    ]
    (ledger.folder / FILE).write_text("".join(json.dumps(record) + "\n" for record in older))
    perform(loss, asked)
    assert len(ledger.records()) == 2


@pytest.mark.parametrize(
    ("study", "taught", "refused"),
    [
        ("loss", "cfd (118 images)", "the split tests on a part of it"),
        ("loss", "cfd/train (72 images)", None),
        ("self-training", "cfd/train (72 images)", "whose labels no one has shown"),
        ("forgetting", "cfd/train (72 images)", None),
        ("forgetting", "uav_cc0 (300 images)", "--only without-uav_cc0"),
    ],
)
def test_studies_refuse_a_start_that_knows_what_they_test_on(
    options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    study: str,
    taught: str,
    refused: str | None,
) -> None:
    sets = {name: (name, "train", name, "test") for name in ("cfd", "uav_cc0")}
    for module in ("images", "forgetting"):
        monkeypatch.setattr(f"pavemap.training.experiments.{module}.SETS", sets)
    seen = write_model_folder(tmp_path / "seen", arguments={"width": 4}, data=[taught])
    config = small_config(options, tmp_path / "onward.toml", start_from=seen)
    asked = replace(options, configs=(config,))
    with pytest.raises(BadTrainingConfig, match=refused) if refused else nullcontext():
        find_experiment(study).runs(asked)


def test_what_a_model_finds_is_truth_where_it_is_sure() -> None:
    image = draw_image(0)

    def at_the_left(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = np.zeros(pixels.shape[:2], np.uint8)
        found[:, :9] = 255
        return found

    # Each side is the left one in two of the eight symmetries, a corner in four.
    (found,) = self_training.labelled_by(at_the_left, [image], threshold=0.5)
    middle, corner, side = (50, 60), (3, 3), (50, 3)
    assert found.pixels is image.pixels
    assert [bool(found.crack[place]) for place in (middle, corner, side)] == [False, True, False]
    assert [bool(found.ignore[place]) for place in (middle, corner, side)] == [False, False, True]


def test_a_model_taught_by_itself_sees_no_label(
    options: Options, tmp_path: Path, data: Path
) -> None:
    start = write_model_folder(tmp_path / "start", arguments={"width": 4}, threshold=0.045)
    config = small_config(options, tmp_path / "onward.toml", start_from=start)
    losses = []
    for name in ("labelled", "unlabelled"):
        folder = tmp_path / name
        shutil.copytree(data / "cfd", folder / "cfd")
        if name == "unlabelled":
            for mask in (folder / "cfd" / "masks").iterdir():
                write_png(mask, np.zeros((96, 128), np.uint8))
        asked = replace(options, data=folder, output=tmp_path / f"{name}-out", configs=(config,))
        path = perform(find_experiment("self-training"), asked)
        was, taught = Ledger(path.parent).records().values()
        assert (was["model"], taught["model"]) == ("as it was", "taught by itself")
        losses.append(taught["losses"])
    assert losses[0] == losses[1]
    fresh = small_config(options, tmp_path / "fresh.toml")
    with pytest.raises(BadTrainingConfig, match="give it a start_from"):
        perform(find_experiment("self-training"), replace(options, configs=(fresh,)))


def test_what_is_forgotten_is_told_by_the_share_of_the_start_that_is_kept(
    options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sets = dict.fromkeys(("cfd", "other"), ("cfd", "train", "cfd", "test"))
    for module in ("images", "forgetting"):
        monkeypatch.setattr(f"pavemap.training.experiments.{module}.SETS", sets)
    start = write_model_folder(tmp_path / "start", arguments={"width": 4}, threshold=0.045)
    config = small_config(options, tmp_path / "onward.toml", start_from=start)
    path = perform(find_experiment("forgetting"), replace(options, configs=(config,)))
    records = Ledger(path.parent).records().values()
    assert [record["share"] for record in records] == [1.0, 0.0, 0.25, 0.5, 0.75]
    assert all(set(record["tests"]) == set(sets) for record in records)
    assert len(list((options.output / "trainings").iterdir())) == 1
    assert [line.split("|")[2].strip() for line in path.read_text().splitlines()[2:]] == [
        "0", "0.25", "0.5", "0.75", "1"
    ]  # fmt: skip
    assert (path.parent / "forgetting.png").exists()


def test_folds_refuse_a_start_that_has_seen_their_images(options: Options, tmp_path: Path) -> None:
    seen = write_model_folder(
        tmp_path / "seen", arguments={"width": 4}, data=["cfd/train (10 images)"]
    )
    config = small_config(options, tmp_path / "onward.toml", start_from=seen)
    folds = replace(options, configs=(config,), folds=2, only=("cfd/onward",))
    with pytest.raises(BadTrainingConfig, match="folds test on all of it"):
        perform(paper_table.EXPERIMENT, folds)
    done = Ledger(options.output / "paper-table").records().values()
    assert [record["split"] for record in done] == ["split"]


@pytest.mark.parametrize(
    ("taught", "split_refused", "folds_refused"),
    [
        (["other (3 images)", "cfdx/train (3 images)"], False, False),
        (["cfd/train (64 images)"], False, True),
        (["cfd (118 images)"], True, True),
        (["cfd/test (46 images)"], True, True),
        (["the weights of {seen}", "mine (20 images)"], True, True),
        (["the weights of survey-unet", "mine (20 images)"], False, True),
        (["the weights of {gone}"], True, True),
        (["the weights of {itself}"], True, True),
    ],
)
def test_what_a_start_knows_is_followed_to_the_first_model(
    options: Options, tmp_path: Path, taught: list[str], split_refused: bool, folds_refused: bool
) -> None:
    places = {name: tmp_path / name for name in ("seen", "gone", "itself")}
    write_model_folder(places["seen"], arguments={"width": 4}, data=["cfd (118 images)"])
    told = [entry.format(**places) for entry in taught]
    start = write_model_folder(places["itself"], arguments={"width": 4}, data=told)
    config = load_config(small_config(options, tmp_path / "onward.toml", start_from=start))
    images = [draw_image(seed, height=8, width=8) for seed in range(4)]
    for split, refused in (
        (Split("split", images[:3], images[3:]), split_refused),
        (folds_of(images, 2)[0], folds_refused),
    ):
        with pytest.raises(BadTrainingConfig) if refused else nullcontext():
            config_runs.refuse_a_start_that_knows(config, split)


def test_trainings_are_told_apart_by_the_weights_they_start_from(
    options: Options, tmp_path: Path
) -> None:
    one, other = (
        write_model_folder(tmp_path / name, arguments={"width": 4}, seed=seed)
        for seed, name in enumerate(("one", "other"))
    )
    images = [draw_image(0)]

    def folder(start: Path | None) -> Path:
        config = load_config(small_config(options, tmp_path / "small.toml", start_from=start))
        return trainings.Training.of(tmp_path, config, [images]).folder

    first, second = folder(one), folder(other)
    assert len({first, second, folder(None)}) == 3
    shutil.rmtree(one)
    other.rename(one)
    assert folder(one) == second


def test_other_sets_are_learnt_along_with_a_fold_and_tested_in_symmetries(
    options: Options, tmp_path: Path
) -> None:
    write_set(tmp_path / "second", count=2)
    both, alone = (small_config(options, tmp_path / f"{name}.toml") for name in ("both", "alone"))
    with both.open("a") as file:
        file.write(f'[[data]]\nfolder = "{tmp_path / "second"}"\nweight = 1e9\n')
    only = ("symmetries/3-iterations/seed-0/stride-4/fold-1-",)
    asked = replace(options, configs=(both, alone), folds=11, symmetries=4, only=only)
    path = perform(paper_table.EXPERIMENT, asked)
    found = Ledger(path.parent).records()
    key = "cfd/{}, 4 symmetries/3-iterations/seed-0/stride-4/fold-1-of-11"
    assert found[key.format("both")]["losses"] != found[key.format("alone")]["losses"]
    with pytest.raises(BadTrainingConfig, match="1, 4 or 8"):
        replace(options, symmetries=3)


def test_a_report_is_in_the_order_of_its_numbers_whichever_run_ended_first(
    options: Options,
) -> None:
    ratios = [Run(f"R-{number}/seed-0", dict) for number in (10, 2, 1)]
    told = Experiment("told", "a test", lambda _: ratios, lambda records: Report(" ".join(records)))
    assert perform(told, options).read_text() == "R-1/seed-0 R-2/seed-0 R-10/seed-0"


def test_a_run_resumed_from_its_checkpoint_ends_with_the_same_weights(
    options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images = [draw_image(seed) for seed in range(2)]
    recipe = Recipe(average_decay=0.9, schedule="cosine")
    config = recipe.config(options, iterations=6, seed=1).model_copy(update={"batch_size": 32})

    def fit(folder: Path, iterations: int = 6) -> torch.Tensor:
        found = fitting.fit_patches(
            config.model_copy(update={"iterations": iterations}),
            Draw(light=0.3, turns=True),
            images,
            device=CPU,
            trainings=folder,
        )
        assert found.losses[-1][0] == iterations
        return torch.cat([weight.detach().flatten() for weight in found.network.parameters()])

    whole = fit(tmp_path / "whole")
    monkeypatch.setattr(fitting, "SAVED_EVERY", 2)
    calls = counted(monkeypatch, interrupted_at=6)
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts")
    assert kept(tmp_path / "parts") == ["iteration-0000004"]
    assert torch.equal(fit(tmp_path / "parts"), whole)
    assert len(calls) == 6 + 2
    assert kept(tmp_path / "parts") == ["iteration-0000006"]
    assert torch.equal(fit(tmp_path / "parts"), whole)
    assert len(calls) == 6 + 2  # it was done: nothing is left to do
    fit(tmp_path / "parts", iterations=4)
    assert len(calls) == 6 + 2 + 4  # annealed over fewer iterations it is another training
    assert len(list((tmp_path / "parts").iterdir())) == 2


def test_a_longer_training_at_a_constant_rate_goes_on_where_a_shorter_one_ended(
    options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images = [draw_image(seed) for seed in range(2)]
    steps = counted(monkeypatch)

    def fit(iterations: int, *, folder: str, ratio: float = 3.0, size: int = 5) -> torch.Tensor:
        draw = Draw(negatives_per_positive=ratio)
        recipe = Recipe(draw=draw, size=size)
        config = recipe.config(options, iterations=iterations, seed=1)
        config = config.model_copy(update={"batch_size": 32, "name": f"for {iterations}"})
        found = fitting.fit_patches(config, draw, images, device=CPU, trainings=tmp_path / folder)
        return torch.cat([weight.detach().flatten() for weight in found.network.parameters()])

    monkeypatch.setattr(trainings, "KEPT_EVERY", 2)
    short, long = fit(2, folder="shared"), fit(4, folder="shared")
    assert len(steps) == 4
    assert torch.equal(fit(4, folder="alone"), long)
    assert len(steps) == 4 + 4
    assert torch.equal(fit(2, folder="shared"), short)
    assert len(steps) == 4 + 4
    fit(2, folder="shared", ratio=1.0)
    fit(2, folder="shared", size=3)
    assert len(steps) == 4 + 4 + 2 + 2
    images[0] = draw_image(7)
    fit(2, folder="shared")
    assert len(steps) == 4 + 4 + 2 + 2 + 2


def counted(monkeypatch: pytest.MonkeyPatch, *, interrupted_at: int | None = None) -> list[int]:
    """Grows by one with each step of a training, of which one may be interrupted."""
    step, calls = fitting._step, list[int]()

    def counting(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == interrupted_at:
            raise Interrupted
        return step(*arguments)

    monkeypatch.setattr(fitting, "_step", counting)
    return calls


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/iteration-*") if path.is_dir())


def test_patches_on_the_device_are_cut_where_the_truth_is() -> None:
    """One in four patches is centred on a crack; centre and window agree with the image."""
    network = FanNet(size=3)
    patches = PatchesOnDevice([draw_image(3)], network, Draw(), device=CPU)
    torch.manual_seed(0)
    pixels, labels, _ = patches.batch(64)
    assert pixels.shape == (64, 3, 27, 27)
    assert labels.shape == (64, 3, 3)
    centre = labels[:, 1, 1]
    assert centre.sum() == 16
    dark = pixels[:, :, 13, 13].mean(1) < -0.15  # drawn cracks are about 60, the ground about 150
    assert torch.equal(dark, centre.bool())


def test_turned_patches_turn_with_their_windows() -> None:
    network = FanNet(size=5)
    patches = PatchesOnDevice([draw_image(3)], network, Draw(turns=True), device=CPU)
    torch.manual_seed(0)
    pixels, labels, _ = patches.batch(64)
    dark = pixels[:, :, 11:16, 11:16].mean(1) < -0.15
    assert (dark == labels.bool()).float().mean() > 0.98


def test_ignored_pixels_in_a_window_on_the_device_teach_nothing() -> None:
    crack = mask_of(*["................"] * 7, "#" * 16, *["................"] * 8)
    ignore = np.zeros_like(crack)
    ignore[8:10] = True
    rows = np.repeat(np.arange(16, dtype=np.uint8)[:, None], 16, 1)
    image = LabelledImage("rows", np.repeat(rows[:, :, None], 3, 2), crack, ignore)
    network = FanNet(size=3)
    patches = PatchesOnDevice([image], network, Draw(turns=True), device=CPU)
    torch.manual_seed(0)
    pixels, _, weights = patches.batch(256)
    assert weights is not None
    seen = torch.round((pixels[:, 0, 12:15, 12:15] + 1) * 127.5)
    assert torch.equal(weights == 0, (seen == 8) | (seen == 9))
    assert (weights == 0).any()


@pytest.mark.parametrize(
    ("draw", "drawn"),
    [
        (Draw(), "4df32db1726db8c1"),
        (Draw(turns=True, light=0.4, near_share=0.5), "5f5483022a328f32"),
        (Draw(negatives_per_positive=None), "72ba5e1351e42495"),
    ],
)
def test_what_is_drawn_on_the_device_stays_as_it_was_when_figures_were_measured(
    draw: Draw, drawn: str
) -> None:
    images = [draw_image(seed) for seed in range(3)]
    patches = PatchesOnDevice(images, FanNet(size=5), draw, device=CPU)
    torch.manual_seed(7)
    digest = sha256()
    for _ in range(3):
        _, labels, weights = patches.batch(64)
        assert weights is None
        digest.update(labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == drawn


def test_the_natural_ratio_and_negatives_by_a_crack() -> None:
    image, network = draw_image(3), FanNet(size=1)
    torch.manual_seed(0)
    natural = PatchesOnDevice([image], network, Draw(negatives_per_positive=None), device=CPU)
    share = float(natural.batch(4000)[1].mean())
    assert share == pytest.approx(image.crack.mean(), abs=0.02)
    near = PatchesOnDevice(
        [image], FanNet(size=9), Draw(negatives_per_positive=1.0, near_share=1.0), device=CPU
    )
    crack_in_window = near.batch(200)[1].flatten(1).amax(1)
    anywhere = PatchesOnDevice(
        [image], FanNet(size=9), Draw(negatives_per_positive=1.0), device=CPU
    )
    assert crack_in_window.mean() > anywhere.batch(200)[1].flatten(1).amax(1).mean()


def test_folds_test_every_image_once() -> None:
    images = [draw_image(seed, height=8, width=8) for seed in range(7)]
    folds = folds_of(images, 3)
    tested = [image.name for fold in folds for image in fold.test]
    assert sorted(tested) == [image.name for image in images]
    for fold in folds:
        assert not {i.name for i in fold.test} & {i.name for i in fold.train}
    assert [i.name for i in folds_of(images[::-1], 3)[0].test] == [i.name for i in folds[0].test]


def test_every_ninth_image_is_kept_back() -> None:
    images = [draw_image(seed, height=8, width=8) for seed in range(18)]
    train, held = kept_back(images)
    assert ([i.name for i in held], len(train)) == (["008", "017"], 16)
    with pytest.raises(BadTrainingData, match="at least 9"):
        kept_back(images[:8])


def test_turning_an_image_turns_what_is_found_back() -> None:
    image = draw_image(5)
    shapes: list[tuple[int, ...]] = []

    def dark(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        shapes.append(pixels.shape[:2])
        return np.where(pixels.mean(2) < 105, 200, 10).astype(np.uint8)

    for symmetries in (1, 4, 8):
        found = turned(dark, symmetries=symmetries)(image.pixels)
        assert np.array_equal(found >= 128, image.pixels.mean(2) < 105)
        assert len(shapes) == symmetries
        assert len(set(shapes)) == (2 if symmetries == 8 else 1)
        shapes.clear()


def test_a_threshold_leaves_the_papers_only_where_another_is_surely_better() -> None:
    falsely = _with_rows({10: 0.9, 3: 0.6}, true=10)  # F1 is 2/3 up to 0.6 and 1 from there to 0.9
    half = _with_rows({10: 0.9}, true=10)
    half.pixels[10, 10:] = round(0.55 * 255)  # F1 is 1 up to 0.55 and less from there
    found = {id(image.pixels): image.pixels[:, :, 0] for image in (falsely, half)}

    def detect(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return found[id(pixels)]

    doubtful = [falsely, falsely, half]
    assert (best_threshold(detect, doubtful), steady_threshold(detect, doubtful)) == (0.65, 0.5)
    assert steady_threshold(detect, [falsely] * 3) == 0.65
    assert steady_threshold(detect, [half]) == 0.5


def test_specks_go_at_every_threshold_where_images_kept_back_say_so() -> None:
    image = _with_rows({10: 0.9, 3: 0.95}, true=10)
    image.pixels[3, 8:] = 0  # eight false pixels, surer than the crack
    crack = image.pixels[:, :, 0] * (np.arange(20) == 10)[:, None]

    def detect(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pixels[:, :, 0]

    area_px = best_speck_area(detect, [image])
    assert area_px == 10
    assert np.array_equal(without_specks(detect, area_px)(image.pixels), crack)
    image.crack[3, :8] = True
    assert best_speck_area(detect, [image]) == 0


def _with_rows(rows: dict[int, float], *, true: int) -> LabelledImage:
    """A map of probabilities for its own image, with one row of them true."""
    pixels = np.zeros((20, 20, 1), np.uint8)
    for row, probability in rows.items():
        pixels[row] = round(probability * 255)
    crack = np.zeros((20, 20), bool)
    crack[true] = True
    return LabelledImage("drawn", pixels, crack, np.zeros_like(crack))


def test_standardised_images_have_one_mean_and_deviation() -> None:
    even = standardised(draw_image(5).pixels).astype(float)
    assert np.allclose(even.mean((0, 1)), 128, atol=2)
    assert np.allclose(even.std((0, 1)), 32, atol=3)


def test_a_record_says_what_each_image_scored() -> None:
    images = [draw_image(1), draw_image(2)]
    scores = scores_of(lambda pixels: pixels.mean(2) < 105, images)
    assert json.loads(json.dumps(scores))["f1_by_image"].keys() == {"001", "002"}
    assert (scores["ods"], scores["curve"]) == (None, [])
    assert scores["mean"]["2"]["f1"] > 0.99


def test_aiglern_as_published_is_grey_and_its_cracks_are_dark(tmp_path: Path) -> None:
    drawn = [draw_image(seed, channels=1) for seed in range(3)]
    for folder in ("IMAGES/AIGLE_RN", "GROUND_TRUTH/AIGLE_RN"):
        (tmp_path / folder).mkdir(parents=True)
    for name, image in zip(("C18b", "E17a", "F01a"), drawn, strict=True):
        write_png(tmp_path / f"IMAGES/AIGLE_RN/Im_GT_AIGLE_RN_{name}or.png", image.pixels)
        truth = np.where(image.crack, 0, 255).astype(np.uint8)
        write_png(tmp_path / f"GROUND_TRUTH/AIGLE_RN/GT_AIGLE_RN_{name}.png", truth)
    write_png(tmp_path / "IMAGES/AIGLE_RN/Im_noGT_AIGLE_RN_G01aor.png", drawn[0].pixels)
    images = read_aiglern(tmp_path)
    assert [image.name for image in images] == ["C18b", "E17a", "F01a"]
    assert images[0].pixels.shape == (96, 128, 1)
    assert np.array_equal(images[1].crack, drawn[1].crack)
    (tmp_path / "GROUND_TRUTH/AIGLE_RN/GT_AIGLE_RN_E17a.png").unlink()
    with pytest.raises(BadTrainingData, match="truth of 1 of 3 images, the first is E17a"):
        read_aiglern(tmp_path)
    with pytest.raises(BadTrainingData, match="is no AigleRN set"):
        read_aiglern(tmp_path / "nowhere")


def test_aiglern_rows_run_on_its_data(options: Options, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "aiglern", count=5, inverted=True)
    here = replace(options, aiglern=folder, only=("aiglern/canny", "aiglern/fan2018"))
    path = perform(EXPERIMENTS["paper-table"], here)
    assert "no data here" not in path.read_text()
    records = Ledger(path.parent).records()
    assert records["aiglern/fan2018/3-iterations/seed-0/stride-4/split"]["recipe"]["channels"] == 1
    assert records["aiglern/canny/split"]["tests"]["test"]["mean"]["2"]["f1"] > 0.6


def test_a_picture_is_green_where_right_red_where_wrong_blue_where_missed() -> None:
    image = replace(
        draw_image(1, height=12, width=12),
        crack=mask_of(*["............"] * 2, "......#.....", *["............"] * 8, "#..........."),
    )
    detected = np.zeros((12, 12), bool)
    detected[3, 5] = detected[7, 10] = True
    picture = judged(image, detected)
    assert picture.shape == (12, 28, 3)
    shown = picture[:, 16:]
    assert tuple(shown[3, 5]) == RIGHT
    assert tuple(shown[7, 10]) == WRONG
    assert tuple(shown[11, 0]) == MISSED
    assert tuple(shown[2, 6]) not in {RIGHT, WRONG, MISSED}  # a true pixel that was found
    assert np.array_equal(picture[:, :12], image.pixels)


def test_a_report_of_nothing_says_how_to_begin(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["experiment", "ratio", "-o", str(tmp_path), "--report"])
    assert said.exit_code == 1
    assert "no run of ratio is done yet" in said.output
    assert "begin with `pavemap experiment ratio`" in said.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("study", "options", "said"),
    [
        (
            "ratio",
            "--folds 3 --symmetries 8",
            "--folds (only paper-table, towards) nor --symmetries",
        ),
        (
            "ratio",
            "--config x.toml --report",
            "--config (only paper-table, loss, self-training, for",
        ),
        ("towards", "--survey-config x.toml", "--survey-config (only leave-one-out)"),
        ("loss", "--model survey-unet", "--model (only paper-table)"),
        ("leave-one-out", "--data x --aiglern y", "--aiglern (only paper-table) nor --data (only"),
    ],
)
def test_options_that_a_study_does_not_take_are_refused(
    tmp_path: Path, study: str, options: str, said: str
) -> None:
    asked = ["experiment", study, "-o", str(tmp_path), *options.split()]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 1
    assert f"{study} doesn't take {said}" in refused.output
    assert not list(tmp_path.iterdir())


def test_the_command_lists_runs_and_refuses(data: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(app, ["experiment", "--list"])
    assert all(name in listed.output for name in EXPERIMENTS)
    arguments = ["paper-table", "--data", str(data), "-o", str(tmp_path), "--only", "canny/split"]
    found = runner.invoke(app, ["experiment", *arguments])
    assert found.exit_code == 0, found.output
    assert "| canny | 0.4570 |" in found.output
    unknown = runner.invoke(app, ["experiment", "nothing"])
    assert unknown.exit_code == 1
    assert "there are paper-table" in unknown.output
    missing = runner.invoke(app, ["experiment", "ratio", "--data", str(tmp_path / "none")])
    assert missing.exit_code == 1
    assert "is missing" in missing.output
