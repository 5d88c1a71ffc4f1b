"""The paper's studies of its own network: output size, ratio, other roads, its recipe, steps beyond it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pavemap.training.experiments.figures import (
    f1_of,
    lines,
    markdown,
    other_scores,
    paper_scores,
    precision_recall,
    spread,
)
from pavemap.training.experiments.images import (
    SETS,
    Images,
    folds_of,
    half_of,
    kept_back,
    split_of,
)
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.patches_on_device import Draw
from pavemap.training.experiments.plan import Experiment, Options, Report, Run
from pavemap.training.experiments.recipes import (
    PAPERS_ITERATIONS,
    STUDY_ITERATIONS,
    Recipe,
    run_recipe,
)

Records = Mapping[str, Record]

SIZES = (1, 3, 5, 7)
RATIOS: tuple[float | None, ...] = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, None)
ON_CROPS = Recipe(schedule="cosine", even_light=True, average_decay=0.999, maps=True)
TURNED = replace(ON_CROPS, turned_tests=True)
WHOLE = replace(TURNED, dropout=0.0)
STEADY = replace(WHOLE, steady_threshold=True)
# Each step keeps the former ones (crops have no patches to draw): a row tells what one change brings.
STEPS: Mapping[str, Recipe] = {
    "the paper's recipe": Recipe(),
    "+ turned and mirrored patches": Recipe(draw=Draw(turns=True)),
    "+ light changed at random": Recipe(draw=Draw(turns=True, light=0.4)),
    "+ rate annealed": Recipe(draw=Draw(turns=True, light=0.4), schedule="cosine"),
    "+ images standardised": Recipe(
        draw=Draw(turns=True, light=0.4), schedule="cosine", even_light=True
    ),
    "+ half of the negatives by a crack": Recipe(
        draw=Draw(turns=True, light=0.4, near_share=0.5), schedule="cosine", even_light=True
    ),
    "+ weights averaged": Recipe(
        draw=Draw(turns=True, light=0.4, near_share=0.5),
        schedule="cosine",
        even_light=True,
        average_decay=0.999,
    ),
    "+ taught on crops by the tolerant loss": ON_CROPS,
    "+ images tested in eight symmetries": TURNED,
    "+ taught on other roads too": replace(TURNED, other_roads=True),
    "as with eight symmetries, and no units left out": WHOLE,
    "+ the paper's threshold unless another is surely better": STEADY,
    "+ specks removed": replace(STEADY, specks_removed=True),
}
FIRST_ON_FOLDS = 8


def output_sizes(options: Options) -> list[Run]:
    """Section IV, Fig. 8: windows of 1, 3, 5 and 7 pixels, all else unchanged."""
    return _on_cfd(options, {f"s-{size}": Recipe(size=size) for size in SIZES}, STUDY_ITERATIONS)


def ratios(options: Options) -> list[Run]:
    """Section V, Fig. 10 and 11: negatives for each positive, from 1 to the natural ratio."""
    recipes = {_ratio(one): Recipe(draw=Draw(negatives_per_positive=one)) for one in RATIOS}
    return _on_cfd(options, recipes, STUDY_ITERATIONS)


def plain_recipe(options: Options) -> list[Run]:
    """The recipe as published, whole, three seeds."""
    return _on_cfd(options, {"plain": Recipe()}, PAPERS_ITERATIONS, seeds=(0, 1, 2))


def towards(options: Options) -> list[Run]:
    """Steps from the recipe towards the paper's figure, chosen by training images kept back.

    Those from the eighth are taken on folds too.
    """
    recipes = {f"step-{number}": recipe for number, recipe in enumerate(STEPS.values())}
    found = _on_cfd(options, recipes, PAPERS_ITERATIONS, validated=True)
    for step, recipe in list(recipes.items())[FIRST_ON_FOLDS:]:
        found += _on_folds(options, step, recipe)
    return found


def _on_folds(options: Options, step: str, recipe: Recipe) -> list[Run]:
    split = split_of(options.data, "cfd")
    found = []
    for fold in folds_of([*split.train, *split.test], options.folds):
        train, validation = kept_back(fold.train)
        tests, name = {"cfd": fold.test}, fold.name
        for seed in options.seeds or (0,):
            run = (options, step, recipe, train, tests, PAPERS_ITERATIONS, seed, validation, name)
            found.append(_run(*run))
    return found


def cross_database(options: Options) -> list[Run]:
    """Section VI, Table V, with the sets at hand: train on each or on half of all, test on each."""
    splits = {name: split_of(options.data, name) for name in SETS}
    tests = {name: split.test for name, split in splits.items()}
    trained_on: dict[str, Images] = {name: split.train for name, split in splits.items()}
    trained_on["hybrid"] = [i for split in splits.values() for i in half_of(split.train)]
    return [
        _run(options, name, Recipe(), images, tests, STUDY_ITERATIONS, seed)
        for name, images in trained_on.items()
        for seed in options.seeds or (0,)
    ]


def _on_cfd(
    options: Options,
    recipes: Mapping[str, Recipe],
    iterations: int,
    *,
    seeds: Sequence[int] = (0,),
    validated: bool = False,
) -> list[Run]:
    split = split_of(options.data, "cfd")
    train, validation = kept_back(split.train) if validated else (split.train, [])
    return [
        _run(options, name, recipe, train, {"cfd": split.test}, iterations, seed, validation)
        for name, recipe in recipes.items()
        for seed in options.seeds or seeds
    ]


def _run(
    options: Options,
    variant: str,
    recipe: Recipe,
    train: Images,
    tests: Mapping[str, Images],
    iterations: int,
    seed: int,
    validation: Images = (),
    fold: str = "",
) -> Run:
    number = options.iterations or iterations

    def perform() -> Record:
        found = run_recipe(
            recipe,
            train=train,
            tests=tests,
            options=options,
            iterations=number,
            seed=seed,
            validation=validation,
        )
        return {"variant": variant, "fold": fold, **found}

    key = f"{variant}/{number}-iterations/seed-{seed}{options.tested}"
    return Run(f"{key}/{fold}" if fold else key, perform)


class Alike(NamedTuple):
    """What runs have in common that differ by their seed or fold alone."""

    variant: str
    iterations: int
    stride: int


def _by_variant(records: Records) -> dict[Alike, list[Record]]:
    found: dict[Alike, list[Record]] = {}
    for one in records.values():
        alike = Alike(one["variant"], int(one["iterations"]), int(one["stride"]))
        found.setdefault(alike, []).append(one)
    return found


def _cfd_table(records: Records, named: Callable[[str], str]) -> str:
    """A row for each run on CFD."""
    rows = [
        [
            named(record["variant"]),
            f"{record['iterations']:,}",
            str(record["seed"]),
            *paper_scores(record["tests"]["cfd"]),
            *other_scores(record["tests"]["cfd"]),
            f"{record['training_s']:.0f}",
        ]
        for record in records.values()
    ]
    columns = ["run", "iterations", "seed", "Pr", "Re", "F1", "F1 pooled", "F1 at 0 px"]
    return markdown([*columns, "F1 at 5 px", "ODS", "OIS", "training s"], rows)


def _losses(records: Records) -> Mapping[str, Any]:
    if not records:
        return {}
    series = {key: [(at, loss) for at, loss in r["losses"]] for key, r in records.items()}
    return {"losses.png": lines(series, across="iteration", up="mean loss", logarithmic_up=True)}


def _swept(records: Records, position: Callable[[str], float]) -> Mapping[str, list[Any]]:
    """Precision, recall and F1 along a study's variable, means over seeds."""
    series: dict[str, list[tuple[float, float]]] = {"precision": [], "recall": [], "f1": []}
    ordered = sorted(_by_variant(records).items(), key=lambda item: position(item[0].variant))
    for alike, some in ordered:
        for name, points in series.items():
            values = [record["tests"]["cfd"]["mean"]["2"][name] for record in some]
            points.append((position(alike.variant), sum(values) / len(values)))
    return series


def _size_report(records: Records) -> Report:
    picture = lines(
        _swept(records, lambda variant: float(variant[2:])),
        across="size s of the output structure",
        ticks=[(size, str(size)) for size in SIZES],
    )
    text = _cfd_table(records, lambda variant: variant.replace("-", " = "))
    return Report(text, {"output-size.png": picture, **_losses(records)})


def _ratio_report(records: Records) -> Report:
    natural = 60.0  # where the natural ratio stands in the picture: 1 to 59 in cfd/train
    picture = lines(
        _swept(records, lambda variant: natural if variant == "natural" else float(variant[2:])),
        across="negatives for each positive",
        logarithmic=True,
        ticks=[(one or natural, "natural" if one is None else f"{one:g}") for one in RATIOS],
    )
    text = _cfd_table(records, lambda variant: variant.replace("-", " = "))
    return Report(text, {"ratio.png": picture, **_losses(records)})


def _plain_report(records: Records) -> Report:
    text = _cfd_table(records, lambda _: "the paper's recipe")
    for alike, some in _by_variant(records).items():
        f1 = [f1_of(record["tests"]["cfd"]) for record in some]
        made = f"{alike.iterations:,} iterations, {len(f1)} seeds"
        text += f"\n{made}: F1 {spread(f1)}; the paper says 0.9244.\n"
    shown = {f"seed {r['seed']}": r["tests"]["cfd"] for r in records.values()}
    pictures = {"plain-recipe.png": precision_recall(shown)} if shown else {}
    return Report(text, {**pictures, **_losses(records)})


def _towards_report(records: Records) -> Report:
    names = list(STEPS)
    rows = []
    for alike, all_of_it in _by_variant(records).items():
        folds = [f1_of(one["tests"]["cfd"]) for one in all_of_it if one.get("fold")]
        some = [one for one in all_of_it if not one.get("fold")]
        tests = [record["tests"]["cfd"] for record in some]
        held = [record["validation"] for record in some]
        plain = [curve_f1(scores, 0.5) for scores in tests]
        rows.append(
            [
                names[int(alike.variant.removeprefix("step-"))],
                f"{alike.iterations:,}",
                str(alike.stride),
                str(len(some)),
                spread([f1_of(scores) for scores in held]),
                ", ".join(f"{scores['threshold']:g}" for scores in held),
                spread(plain),
                spread([f1_of(scores) for scores in tests]),
                spread(folds),
                f"{sum(record['training_s'] for record in all_of_it):.0f}",
            ]
        )
    columns = [
        "step",
        "iterations",
        "tested every px",
        "seeds",
        "F1 on images kept back",
        "threshold from them",
    ]
    columns += ["test F1 at 0.5", "test F1 at that threshold", "F1 over folds (how many)"]
    text = markdown([*columns, "training s"], rows)
    return Report(text, _losses(records))


def _cross_report(records: Records) -> Report:
    rows = [
        [
            record["variant"],
            f"{record['iterations']:,}",
            str(record["seed"]),
            *(
                " / ".join(paper_scores(record["tests"][name])) if name in record["tests"] else "–"
                for name in SETS
            ),
        ]
        for record in records.values()
    ]
    text = markdown(
        ["trained on", "iterations", "seed", *(f"{n}: Pr / Re / F1" for n in SETS)], rows
    )
    return Report(text, _losses(records))


def curve_f1(scores: Record, threshold: float) -> float:
    """The mean F1 at one of the curve's thresholds."""
    return next(float(f1) for at, _, _, f1 in scores["curve"] if at == threshold)


def _ratio(negatives: float | None) -> str:
    return "natural" if negatives is None else f"R-{negatives:g}"


STUDIES = (
    Experiment("output-size", "windows of 1, 3, 5, 7 pixels (Fig. 8)", output_sizes, _size_report),
    Experiment("ratio", "negatives for each positive (Fig. 10, 11)", ratios, _ratio_report),
    Experiment(
        "cross-database", "train on one set or on half of all, test on each (Table V)",
        cross_database, _cross_report,
    ),
    Experiment("plain-recipe", "the paper's recipe whole, three seeds", plain_recipe, _plain_report),
    Experiment(
        "towards", "steps from the recipe towards the paper's figure", towards, _towards_report
    ),
)  # fmt: skip
