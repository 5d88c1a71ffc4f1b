"""Kernels run where no machine code can be kept, and never from code of another version."""

from __future__ import annotations

from typing import Any

import numba
import pytest

from pavemap.geo import compiled
from pavemap.geo.compiled import kernel


def twice(value: int) -> int:
    return 2 * value


def test_without_a_place_to_cache_a_kernel_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    njit = numba.njit

    def read_only(*, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", read_only)
    assert kernel(twice)(21) == 42


def test_where_numba_keeps_its_stamp_elsewhere_nothing_is_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "_stamped", lambda _: False)
    plain: Any = kernel(twice)
    assert plain(21) == 42
    assert not hasattr(plain._cache, "_cache_file")


def test_a_cache_holds_for_the_source_of_all_kernels() -> None:
    cached: Any = kernel(twice)
    assert cached._cache._cache_file._source_stamp == compiled._DIGEST
