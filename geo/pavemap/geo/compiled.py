"""One decorator for the few loops that numpy can't express: numba, cached on disk, without the GIL."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

log = logging.getLogger(__name__)


def kernel(function: Kernel) -> Kernel:
    """Compile a function on its first call; threads run it side by side.

    Machine code is cached beside the module or in NUMBA_CACHE_DIR. Where neither can be written
    (a read-only container) it is compiled again in each process.
    """
    try:
        cached = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError as exc:  # numba's word for "no place to cache"
        log.info("%s is compiled in each process: %s", function.__name__, exc)
        cached = None
    if cached is None or not _stamped(cached):
        cached = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Kernel, cached)


def _digest() -> str:
    """Return a digest of all modules with kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        source = path.read_bytes()
        if b"@kernel" in source:
            digest.update(source)
    return digest.hexdigest()


_DIGEST = _digest()


def _stamped(dispatcher: Any) -> bool:
    """Have a kernel's cache hold for the present source of all kernels; False if numba forbids it.

    numba itself only looks at the file a kernel stands in, and would go on using code that has an old
    version of a kernel of another file compiled into it.
    """
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if not hasattr(cache_file, "_source_stamp"):
        return False
    cache_file._source_stamp = _DIGEST
    return True
