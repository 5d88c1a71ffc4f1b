"""Web pages of other servers may read, where PAVEMAP_CORS_ORIGINS names them, and change nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

from pavemap.platform.errors import FromElsewhere

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

ELSEWHERE = frozenset({"cross-site", "same-site"})
"""What browsers say of a request that a page of another server makes (W3C Fetch Metadata)."""


async def no_changes_by_other_pages(request: Request) -> None:
    """Refuse what a page that happens to be open in a browser would change on this server.

    There is no login here, so without this any page could, of a server that listens for its own
    machine alone. Browsers tell where a page is from by Sec-Fetch-Site, and where that can't be (by plain
    http to another machine) by Origin; programs send neither. Raises FromElsewhere.
    """
    if request.method in SAFE:
        return
    site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
    own = {request.headers.get(name) for name in ("host", "x-forwarded-host")}
    if site in ELSEWHERE or (
        site is None and origin and (urlsplit(origin).netloc or origin) not in own
    ):
        raise FromElsewhere(
            "a web page of another server may change nothing here; use this server's own pages or a "
            "program (a proxy has to pass the header Host on)"
        )
