"""Web pages of other servers may read, where PAVEMAP_CORS_ORIGINS names them, and change nothing."""

from __future__ import annotations

from fastapi import Request

from pavemap.platform.errors import FromElsewhere

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

ELSEWHERE = frozenset({"cross-site", "same-site"})
"""What browsers say of a request that a page of another server makes (W3C Fetch Metadata)."""


async def no_changes_by_other_pages(request: Request) -> None:
    """Refuse what a page that happens to be open in a browser would change on this server.

    There is no login here, so without this any page could, of a server that listens for its own
    machine alone. Programs don't send the header. Raises FromElsewhere.
    """
    if request.method not in SAFE and request.headers.get("sec-fetch-site") in ELSEWHERE:
        raise FromElsewhere(
            "a web page of another server may change nothing here; use this server's own pages, or a "
            "program"
        )
