"""One decorator for the baselines' loops: numba, cached on disk by the source of their own module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call, without the GIL; it may call those of its module."""
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no place to cache: compiled again in each process
        return cast(Function, numba.njit(nogil=True)(function))
