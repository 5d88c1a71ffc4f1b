"""What a training that is sent over HTTP must say before a cluster is asked."""

from __future__ import annotations

import httpx

from api_world import API


def test_folders_are_named_whole(client: httpx.Client) -> None:
    """A relative one would be looked for, and written to, where the server happens to run."""
    config = {
        "name": "here",
        "output": "",
        "data": [{"folder": "/data/north"}, {"folder": "south"}],
        "validation": [{"folder": "../val"}],
        "tests": [{"folder": "test"}],
    }
    answer = client.post(f"{API}/training-jobs", json=config)
    assert answer.status_code == 422
    errors = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert set(errors) == {
        "#/output",
        "#/data/1/folder",
        "#/validation/0/folder",
        "#/tests/0/folder",
    }
    assert "whole path" in errors["#/output"]
