"""Reports of experiments: Markdown tables and curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pavemap.training.experiments.ledger import Record

Series = Mapping[str, Sequence[tuple[float, float]]]
Draw = Callable[[Path], None]

COLOURS = 10
"""Curves that the usual colours tell apart."""
ROWS = 22
"""Entries of a legend that are as high as a plot."""


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def paper_scores(scores: Record) -> list[str]:
    """Precision, recall and F1 the paper's way (mean over images, 2 pixels)."""
    two = scores["mean"]["2"]
    return [f"{two['precision']:.4f}", f"{two['recall']:.4f}", f"**{two['f1']:.4f}**"]


def other_scores(scores: Record) -> list[str]:
    """Pooled F1, F1 at 0 and 5 pixels, best-threshold F1 for the set (ODS) and for each image (OIS)."""
    best = [scores["ods"] and scores["ods"]["f1"], scores["ois"]]
    return [
        f"{scores['pooled']['2']['f1']:.4f}",
        f"{scores['mean']['0']['f1']:.4f}",
        f"{scores['mean']['5']['f1']:.4f}",
        *("–" if value is None else f"{value:.4f}" for value in best),
    ]


OTHER_COLUMNS = ["F1 pooled", "F1 at 0 px", "F1 at 5 px", "ODS", "OIS"]
TRAINED_COLUMNS = ["iterations", "seed"]
TESTED_COLUMNS = ["threshold", "Pr", "Re", "F1", *OTHER_COLUMNS, "training s"]


def trained(record: Record) -> list[str]:
    """How a run was trained, for `TRAINED_COLUMNS`."""
    return [f"{record['iterations']:,}", str(record["seed"])]


def tested(record: Record, scores: Record) -> list[str]:
    """What a run scored on one of its test sets, for `TESTED_COLUMNS`."""
    found = [f"{scores['threshold']:g}", *paper_scores(scores), *other_scores(scores)]
    return [*found, f"{record['training_s']:.0f}"]


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of a few values, and how many they are."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{mean(values):.4f} ± {stdev(values):.4f} ({len(values)})"


def f1_of(scores: Record) -> float:
    """The paper's F1."""
    return float(scores["mean"]["2"]["f1"])


def lines(
    series: Series,
    *,
    across: str,
    up: str = "mean over images, 2 px",
    logarithmic: bool = False,
    logarithmic_up: bool = False,
    ticks: Sequence[tuple[float, str]] = (),
) -> Draw:
    """A plot of curves, written as PNG."""

    def draw(path: Path) -> None:
        plot, axes = _axes()
        if len(series) > COLOURS:
            axes.set_prop_cycle(color=_shades(len(series)))
        for name, points in series.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3.5, label=name)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        if logarithmic:
            axes.set_xscale("log")
        if logarithmic_up:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
            low, high = axes.get_ylim()
            if high < 10.0 * low:  # no power of ten to read by, or one
                axes.yaxis.set_minor_formatter("{x:g}")
        if ticks:
            axes.set_xticks([at for at, _ in ticks], [text for _, text in ticks])
            axes.minorticks_off()
        axes.grid(alpha=0.3)
        _legend_beside(axes, columns=1 + len(series) // ROWS)
        plot.savefig(path, dpi=110, bbox_inches="tight")

    return draw


def precision_recall(scores_by_name: Mapping[str, Record]) -> Draw:
    """Precision against recall by threshold; detectors without thresholds are single points."""

    def draw(path: Path) -> None:
        plot, axes = _axes()
        for name, scores in scores_by_name.items():
            points = [(recall, precision) for _, precision, recall, _ in scores["curve"]]
            two = scores["mean"]["2"]
            (line,) = axes.plot(*zip(*points, strict=True)) if points else axes.plot([], [])
            axes.plot(two["recall"], two["precision"], "o", color=line.get_color(), label=name)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.01)
        axes.grid(alpha=0.3)
        _legend_beside(axes)
        plot.savefig(path, dpi=110, bbox_inches="tight")

    return draw


def _legend_beside(axes: Any, *, columns: int = 1) -> None:
    axes.legend(
        fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, ncols=columns
    )


def _shades(count: int) -> list[tuple[float, ...]]:
    """As many colours as there are curves, neighbours alike."""
    from matplotlib import colormaps

    return [colormaps["turbo"](number / (count - 1)) for number in range(count)]


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    plot = Figure(figsize=(6, 4))
    return plot, plot.subplots()
