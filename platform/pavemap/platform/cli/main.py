"""The `pavemap` command: gathers the groups of commands and turns errors into one sentence."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from pavemap.geo.errors import PavemapError
from pavemap.platform.cli import (
    changes,
    console,
    jobs,
    models,
    networks,
    results,
    reviews,
    surveys,
    training_data,
)
from pavemap.platform.cli.demo import demo
from pavemap.platform.cli.detect import detect
from pavemap.platform.cli.experiments import experiment
from pavemap.platform.cli.migrate import migrate
from pavemap.platform.cli.up import up
from pavemap.platform.cli.vectorize import vectorize
from pavemap.platform.env_file import read_env_file

DEBUG_VARIABLE = "PAVEMAP_DEBUG"


class Commands(TyperGroup):
    """The top group: `--debug` may stand anywhere, and no error ends in a traceback without it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `--debug` out of the arguments wherever it stands."""
        if "--debug" in args:
            os.environ[DEBUG_VARIABLE] = "1"
        with _in_one_sentence():
            read_env_file()
        return super().parse_args(ctx, [arg for arg in args if arg != "--debug"])

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a pavemap error is one sentence on stderr and exit code 1."""
        with _in_one_sentence():
            return super().invoke(ctx)


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """End an error of the block as one sentence and exit code 1, but under `--debug`."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
        raise  # a pipe is broken where `| head` has read enough: Typer then ends without a word
    except Exception as exc:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        console.fail(_sentence(exc))
        raise typer.Exit(1) from exc


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pavemap {metadata.version('pavemap')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Say which this is."
        ),
    ] = False,
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    """Orthophoto tiles of roads in, crack maps and crack density per road segment out."""


app.command()(detect)
app.command()(vectorize)
app.command()(demo)
app.command()(up)
app.command()(migrate)
app.add_typer(networks.app, name="network")
app.add_typer(surveys.app, name="survey")
app.command()(results.segments)
app.command()(results.cracks)
app.command()(changes.change)
app.command()(results.export)
app.add_typer(reviews.app, name="review")
app.add_typer(training_data.app, name="training-data")
app.command()(models.train)
app.add_typer(jobs.app, name="job")
app.command()(models.evaluate)
app.command()(experiment)
app.add_typer(models.models, name="model")


def main() -> None:
    """Run the command line; what a signal ends leaves no more behind than what an error does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _end)
    app()


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _sentence(error: Exception) -> str:
    if isinstance(error, PavemapError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return (
        f"pavemap failed at something it did not expect ({type(error).__name__}: {error}); "
        "the same command with --debug says where"
    )
