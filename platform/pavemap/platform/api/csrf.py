"""Web pages of other servers may read, where PAVEMAP_CORS_ORIGINS names them, and change nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from pavemap.platform.api.services import ServicesOf
from pavemap.platform.errors import CrossSiteRequest
from pavemap.platform.settings import Settings
from pavemap.serving.listening import is_loopback

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

ELSEWHERE = frozenset({"cross-site", "same-site"})
"""What browsers say of a request that a page of another server makes (W3C Fetch Metadata)."""


async def refuse_cross_site_changes(request: Request, services: ServicesOf) -> None:
    """Refuse what a page that happens to be open in a browser would change on this server.

    There is no login here, so without this any page could, of a server that listens for its own
    machine alone. Browsers tell where a page is from by Sec-Fetch-Site, and where that can't be (by plain
    http to another machine) by Origin; programs send neither. Whoever owns a name may have it lead to this
    machine once the page is open (DNS rebinding), and then both say that the page is from here: so a server
    for its own machine alone has to be asked by a name of that machine. Raises CrossSiteRequest.
    """
    if request.method in SAFE:
        return
    site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
    own = {request.headers.get(name) for name in ("host", "x-forwarded-host")}
    if site in ELSEWHERE or (
        site is None and origin and (origin.partition("://")[2] or origin) not in own
    ):
        raise CrossSiteRequest(
            "a web page of another server may change nothing here; use this server's own pages or a "
            "program (a proxy has to pass the header Host on)"
        )
    if (
        origin
        and origin not in services.settings.web_origins
        and _is_rebound(request, services.settings)
    ):
        raise CrossSiteRequest(
            "this server is for its own machine alone: a web page changes something here only as a page of "
            "http://localhost or http://127.0.0.1; name the origin of pages that come through a proxy on "
            "this machine in PAVEMAP_CORS_ORIGINS"
        )


def _is_rebound(request: Request, settings: Settings) -> bool:
    """Tell whether a request came in by loopback alone, yet asks for a host of another name.

    The setting alone does not say what is listened on: images give uvicorn another address.
    X-Forwarded-Host says nothing: a page may send any to its own server, as which this one passes.
    """
    came_in_at = str((request.scope.get("server") or ("",))[0])
    return (
        is_loopback(settings.api_host)
        and is_loopback(came_in_at)
        and not is_loopback(_name(request.headers.get("host", "")))
    )


def _name(host: str) -> str:
    """Return the name or address in a Host header; '' for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
