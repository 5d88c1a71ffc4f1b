"""How the commands talk: results on stdout (text or JSON), progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


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


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose cells are all numbers are aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        right = bool(cells) and all(_is_number(cell) for cell in cells)
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    # In a pipe there is no width to keep to, and a folded cell would break what reads it.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    console.print(table, crop=False)


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
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        *amount,
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=quiet or not sys.stderr.isatty(),
    )
    with bars:
        yield bars


def number(value: float | None, digits: int, *, unit: str = "") -> str:
    """Write a figure, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}{unit and ' ' + unit}"


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "-–"
