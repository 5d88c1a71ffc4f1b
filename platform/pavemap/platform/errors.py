"""The errors of the platform floor that a user may meet."""

from __future__ import annotations

from pavemap.geo.errors import BadInput, PavemapError, Unavailable


class BadName(BadInput):
    """A label holds what could be mistaken for a path or can't be stored."""


class BadRequest(BadInput):
    """The request itself is malformed (HTTP 400)."""


class UploadCutOff(BadRequest):
    """The body ended before it was whole (HTTP 400)."""


class UploadStalled(PavemapError):
    """The client sent nothing for too long (HTTP 408)."""


class UploadTooLarge(BadInput):
    """The body is larger than this server takes (HTTP 413)."""


class UnsupportedMedia(BadInput):
    """The body comes in a form that is not taken here (HTTP 415)."""


class UploadDamaged(BadInput):
    """What arrived is not what the client says it sent."""


class CrossSiteRequest(PavemapError):
    """A web page of another server asked for a change (HTTP 403)."""


class NoOverlap(BadInput):
    """Imagery lies nowhere on the survey's road network."""


class ReaderCrashed(BadInput):
    """A file killed or stalled the process that read it."""


class ClusterAway(Unavailable):
    """The Ray cluster does not answer."""
