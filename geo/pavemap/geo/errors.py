"""Every error a user may meet: one base, one sentence each; messages say what to do next."""


class PavemapError(Exception):
    """The base of all errors that pavemap raises on purpose."""


class BadInput(PavemapError):
    """What was given can't be used as it is (HTTP 422)."""


class NotFound(PavemapError):
    """No such thing is stored (HTTP 404)."""


class Conflict(PavemapError):
    """The request contradicts what is stored (HTTP 409)."""


class Unavailable(PavemapError):
    """A service that pavemap rests on is away; the same request may succeed later (HTTP 503)."""


class StorageFull(PavemapError):
    """There is no room to store what was sent (HTTP 507)."""


class NotAGeoTiff(BadInput):
    """The file is not a GeoTIFF, whatever its name says."""


class NotGeoreferenced(BadInput):
    """The raster doesn't say, in a usable way, where on the Earth its pixels lie."""


class UnsupportedRaster(BadInput):
    """The raster is a whole GeoTIFF of a kind that pavemap doesn't read: bands, depth, layout, size."""


class DamagedRaster(BadInput):
    """The raster is cut off, or a part of it can't be decoded."""
