"""Fixtures of the serving tests: drawn ground, storage, and the modules of Ray Serve."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from pydantic.warnings import PydanticDeprecatedSince20

from pavemap.geo.storage import Storage
from scenes import Scene, cracked_strip

with warnings.catch_warnings():
    # Ray Serve 2.60 declares its own models in pydantic's old way; only its import may say so.
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    import ray.serve  # noqa: F401


@pytest.fixture(scope="session")
def small_scene() -> Scene:
    """2.4 m x 1.2 m of cracked ground: some 18 cells of 256 pixels on pavement."""
    return cracked_strip(1200, 600)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))
