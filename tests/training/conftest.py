"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def token_of_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token for the Rays that these tests start; they would else keep one in the home folder.

    Ray asks for tokens by itself when it starts. To name its mode here would be too late for it, and
    right for its children alone: modules of tests that were collected before have imported it.
    """
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text("0" * 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        yield
