"""How the commands talk: results on stdout (text or JSON), progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

COLUMN_GAP = 3
"""Characters between two columns of a table."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def say(text: str = "") -> None:
    """Print a line of result."""
    typer.echo(text)


def note(text: str) -> None:
    """Print a line for people, beside the result."""
    typer.echo(text, err=True)


def fail(text: str) -> None:
    """Print an error."""
    typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(text, err=True)


def confirmed(question: str, *, yes: bool) -> None:
    """Ask before what can't be taken back, unless `--yes` was given; end the command at a no."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def note_warnings(warnings: Iterable[tuple[str, str]]) -> None:
    """Print the warnings of files, each said once with the first file's name and the number of others."""
    files: dict[str, list[str]] = {}
    for file, warning in warnings:
        files.setdefault(warning, []).append(file)
    for warning, named in files.items():
        others = f" and {len(named) - 1:,} more" if len(named) > 1 else ""
        note(f"Warning: {named[0]}{others}: {warning}")


def print_json(value: Any) -> None:
    """Print a result as JSON, indented."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, spare: Sequence[str] = ()
) -> None:
    """Print a table; columns whose cells are all numbers are aligned to the right.

    A terminal too narrow for all columns is spared those of `spare`, the first of them first.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # In a pipe there is no width to keep to, and a folded cell would break what reads it.
    width = None if sys.stdout.isatty() else 1000
    # Names are names: [brackets] in them are no markup, and :road: is no picture.
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    cells = {name: [row[index] for row in rows] for index, name in enumerate(columns)}
    for name in spare:
        if _width(cells) > console.width:
            del cells[name]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, column in cells.items():
        right = bool(column) and all(_is_number(cell) for cell in column)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    console.print(table, crop=False)


def _width(cells: Mapping[str, Sequence[str]]) -> int:
    """Return the characters that a table needs for each row to be one line."""
    widths = [max(map(len, (name, *column))) for name, column in cells.items()]
    return sum(widths) + COLUMN_GAP * (len(widths) - 1)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, aligned."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")


@contextmanager
def progress_bars(*, transfer: bool = False, quiet: bool = False) -> Iterator[Progress]:
    """Yield rich progress bars on stderr; nothing is drawn where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    amount = (DownloadColumn(), TransferSpeedColumn()) if transfer else (MofNCompleteColumn(),)
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        *amount,
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=quiet or not sys.stderr.isatty(),
    )
    with bars:
        yield bars


def rows_shown(bars: Progress, counts: dict[str, int] | None = None) -> Callable[[str, int], None]:
    """Return what shows a bar for each layer it hears of, and notes the layer's rows so far."""
    tasks: dict[str, TaskID] = {}

    def on_rows(layer: str, rows: int) -> None:
        if layer not in tasks:
            tasks[layer] = bars.add_task(layer.capitalize(), total=None)
        bars.update(tasks[layer], completed=rows)
        if counts is not None:
            counts[layer] = rows

    return on_rows


def number(value: float | None, digits: int, *, unit: str = "") -> str:
    """Write a figure, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}{unit and ' ' + unit}"


def counted(count: int, noun: str) -> str:
    """Write how many there are of something; `noun` is one of them."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def too_coarse(area_m2: float) -> dict[str, str]:
    """Return the fact that some of what was imaged can show no fine crack; nothing where there is none."""
    if area_m2 < 0.05:
        return {}
    said = "of it in pixels coarser than the model's range: fine cracks are missing there"
    return {"too coarse": f"{number(area_m2, 1, unit='m²')} {said}"}


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "-–"
