"""What the commands share that talk to a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pavemap.platform.default_server import DEFAULT_SERVER

if TYPE_CHECKING:
    from pavemap.platform.client.api_client import Client

Server = Annotated[
    str,
    typer.Option(
        envvar="PAVEMAP_SERVER",
        help="Address of the pavemap server.",
    ),
]
SurveyName = Annotated[str, typer.Argument(metavar="SURVEY", help="Id or name of a survey.")]
Bbox = Annotated[
    str | None, typer.Option(metavar="W,S,E,N", help="Only what meets this box, in degrees.")
]

HERE = DEFAULT_SERVER
"""Where `pavemap up` listens unless told otherwise."""


def connect(server: str) -> Client:
    """Return a client; httpx is imported only now, since `pavemap --help` needs none of it."""
    from pavemap.platform.client.api_client import Client

    return Client(server)
