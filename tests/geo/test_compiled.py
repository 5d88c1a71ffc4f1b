"""Kernels run where no machine code can be kept, and never from code of another version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
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
    njit: Any = numba.njit
    njit(twice)(1)  # numba imports, and compiles, parts of itself at the first use

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


def test_in_a_read_only_file_system_kernels_run(tmp_path: Path) -> None:
    """A package that can't be written beside, and no home: what a hardened container is."""
    package = tmp_path / "pavemap" / "geo"
    package.mkdir(parents=True)
    source = Path(compiled.__file__).read_text()
    (package / "compiled.py").write_text(source)
    (package / "__init__.py").write_text("")
    (package / "twice.py").write_text(
        "from pavemap.geo.compiled import kernel\n@kernel\ndef twice(x):\n    return 2 * x\n"
    )
    # A file where the cache's folder would be: no one can write there, not even root.
    (package / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    cache = tmp_path / "cache"
    program = "from pavemap.geo.twice import twice; print(twice(21))"
    for more in ({}, {"NUMBA_CACHE_DIR": str(cache)}, {"NUMBA_CACHE_DIR": str(tmp_path / "home")}):
        own = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        done = subprocess.run(
            [sys.executable, "-B", "-c", program],
            env={**own, "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home"), **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "42\n", done.stderr
    assert list(cache.rglob("*.nbi")), "where a folder is named, code is kept"
