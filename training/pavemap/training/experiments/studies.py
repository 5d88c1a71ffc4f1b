"""The paper's studies of its own network: output size, ratio, other roads, its recipe, steps beyond it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from pavemap.training.experiments.plan import Options, Run
from pavemap.training.experiments.recipes import (
    PAPERS_ITERATIONS,
    STUDY_ITERATIONS,
    Recipe,
    run_recipe,
)

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
        taught = kept_back(fold.train)
        found += _judged_on(
            fold.test, options, {step: recipe}, PAPERS_ITERATIONS, taught=taught, fold=fold.name
        )
    return found


def cross_database(options: Options) -> list[Run]:
    """Section VI, Table V, with the sets at hand: train on each or on half of all, test on each."""
    splits = {name: split_of(options.data, name) for name in SETS}
    tests = {name: split.test for name, split in splits.items()}
    trained_on: dict[str, Images] = {name: split.train for name, split in splits.items()}
    trained_on["hybrid"] = [i for split in splits.values() for i in half_of(split.train)]
    return [
        _run(
            options,
            variant=name,
            recipe=Recipe(),
            train=images,
            tests=tests,
            iterations=STUDY_ITERATIONS,
            seed=seed,
        )
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
    taught = kept_back(split.train) if validated else (split.train, [])
    return _judged_on(split.test, options, recipes, iterations, taught=taught, seeds=seeds)


def _judged_on(
    test: Images,
    options: Options,
    recipes: Mapping[str, Recipe],
    iterations: int,
    *,
    taught: tuple[Images, Images],
    seeds: Sequence[int] = (0,),
    fold: str = "",
) -> list[Run]:
    """Return the runs of recipes, by seeds; `taught` are images to learn from, and others kept back."""
    train, validation = taught
    return [
        _run(
            options,
            variant=name,
            recipe=recipe,
            train=train,
            validation=validation,
            tests={"cfd": test},
            iterations=iterations,
            seed=seed,
            fold=fold,
        )
        for name, recipe in recipes.items()
        for seed in options.seeds or seeds
    ]


def _run(
    options: Options,
    *,
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


def _ratio(negatives: float | None) -> str:
    return "natural" if negatives is None else f"R-{negatives:g}"
