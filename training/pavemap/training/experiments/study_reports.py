"""What the paper's studies come to: tables of their runs, and the curves beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from pavemap.training.experiments.images import SETS
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.plan import Report
from pavemap.training.experiments.studies import RATIOS, SIZES, STEPS

Records = Mapping[str, Record]


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


def size_report(records: Records) -> Report:
    """Runs by the size of the output structure."""
    picture = lines(
        _swept(records, lambda variant: float(variant[2:])),
        across="size s of the output structure",
        ticks=[(size, str(size)) for size in SIZES],
    )
    text = _cfd_table(records, lambda variant: variant.replace("-", " = "))
    return Report(text, {"output-size.png": picture, **_losses(records)})


def ratio_report(records: Records) -> Report:
    """Runs by the negatives for each positive."""
    natural = 60.0  # where the natural ratio stands in the picture: 1 to 59 in cfd/train
    picture = lines(
        _swept(records, lambda variant: natural if variant == "natural" else float(variant[2:])),
        across="negatives for each positive",
        logarithmic=True,
        ticks=[(one or natural, "natural" if one is None else f"{one:g}") for one in RATIOS],
    )
    text = _cfd_table(records, lambda variant: variant.replace("-", " = "))
    return Report(text, {"ratio.png": picture, **_losses(records)})


def plain_report(records: Records) -> Report:
    """Seeds of the published recipe, beside the paper's figure."""
    text = _cfd_table(records, lambda _: "the paper's recipe")
    for alike, some in _by_variant(records).items():
        f1 = [f1_of(record["tests"]["cfd"]) for record in some]
        made = f"{alike.iterations:,} iterations, {len(f1)} seeds"
        text += f"\n{made}: F1 {spread(f1)}; the paper says 0.9244.\n"
    shown = {f"seed {r['seed']}": r["tests"]["cfd"] for r in records.values()}
    pictures = {"plain-recipe.png": precision_recall(shown)} if shown else {}
    return Report(text, {**pictures, **_losses(records)})


def towards_report(records: Records) -> Report:
    """A row for each step: figures over its seeds and over folds."""
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


def cross_report(records: Records) -> Report:
    """What each training scores on each set."""
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
