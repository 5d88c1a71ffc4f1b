"""`pavemap up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pavemap.geo.errors import Unavailable
from pavemap.platform.cli.console import Json, note, print_facts, say

if TYPE_CHECKING:
    from pavemap.platform.stack import Addresses


def up(
    port: Annotated[
        int | None, typer.Option(help="Port of the API; 0 takes a free one. [PAVEMAP_API_PORT]")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="Folder of database, storage and logs. [PAVEMAP_HOME]")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of the model to detect with, instead of the shipped."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the whole of pavemap on this machine: PostGIS, Ray Serve and the API, until Ctrl-C.

    A database or Ray cluster that the settings name is used; what they don't name is started.
    """
    from pavemap.platform.settings import load_settings
    from pavemap.platform.stack import Stack

    given = {"api_port": port, "home": home and home.expanduser().resolve()}
    settings = load_settings().model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    serving_args = {"model": str(model.resolve())} if model else {}
    ready = False
    try:
        with Stack(settings, serving_args=serving_args, report=note) as stack:
            stack.wait_until_ready()
            ready = True
            _announce(stack.addresses, as_json=as_json)
            if model is not None:
                _tell_of_surveys(model)
            while not stack.failed.wait(0.5):
                pass
            raise Unavailable(f"a part of pavemap keeps ending; see {stack.addresses.logs}")
    except KeyboardInterrupt:
        note("stopped" if ready else "stopped before it was ready")
        raise typer.Exit(0 if ready else 130) from None


def _tell_of_surveys(model: Path) -> None:
    """Say how surveys are made with the only model that this pavemap detects with."""
    from pavemap.training.models.card import read_card

    note(
        f"only surveys of {read_card(model).model_id} are worked on: `pavemap model register {model}` "
        "once, then `pavemap survey create ... --model` with that id"
    )


def _announce(addresses: Addresses, *, as_json: bool) -> None:
    places = {name: str(value) for name, value in asdict(addresses).items()}
    if as_json:
        say(json.dumps({"state": "ready", **places}))
        return
    print_facts(
        {
            "API": f"{addresses.api}  (try {addresses.api}/docs)",
            "Detector": addresses.detector,
            "Ray": addresses.ray_dashboard,
            "Database": addresses.database,
            "Logs": str(addresses.logs),
        }
    )
    say("Ready. Ctrl-C ends it.")


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """End the wait, once: a second Ctrl-C must not cut the orderly end short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
