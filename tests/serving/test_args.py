"""Arguments of the application: what is refused, and where secrets may and may not stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pavemap.geo.errors import BadInput
from pavemap.serving.args import ServingArgs
from pavemap.serving.local import EXIT_BAD_INPUT, main

URL = "postgresql://user:secret@db/pavemap"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAVEMAP_DATABASE_URL", raising=False)
    monkeypatch.delenv("PAVEMAP_STORAGE_URL", raising=False)


def test_the_database_comes_from_the_environment_unless_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BadInput, match="PAVEMAP_DATABASE_URL"):
        ServingArgs().database()
    monkeypatch.setenv("PAVEMAP_DATABASE_URL", URL)
    assert ServingArgs().database() == URL
    assert ServingArgs.model_validate({"database_url": "postgresql://other/"}).database() == (
        "postgresql://other/"
    )


def test_a_secret_is_never_shown() -> None:
    args = ServingArgs.model_validate({"database_url": URL})
    assert "secret" not in repr(args) + args.model_dump_json()


def test_unknown_and_impossible_arguments_are_refused() -> None:
    for wrong in [{"detectors": 2}, {"max_batch_size": 0}, {"detector_gpus": "some"}]:
        with pytest.raises(ValidationError):
            ServingArgs.model_validate(wrong)


def test_batches_are_for_gpus_and_more_chips_are_on_their_way_than_one_batch() -> None:
    assert ServingArgs().chips_per_detector(on_gpu=False) == (1, 4)
    assert ServingArgs().chips_per_detector(on_gpu=True) == (8, 24)
    assert ServingArgs(max_batch_size=4).chips_per_detector(on_gpu=False) == (4, 12)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--args", json.dumps({"database_url": URL})], "command line is seen"),
        (["--args", '{"lease_s": "soon"}'], "lease_s"),
        (["--args", "{"], "can't be used"),
        (["--args", "{}"], "PAVEMAP_DATABASE_URL"),
        (["--args-file", "/no/such/file"], "can't be read"),
    ],
)
def test_local_refuses_with_advice_and_without_showing_secrets(
    arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == EXIT_BAD_INPUT
    message = capsys.readouterr().err
    assert advice in message
    assert "secret" not in message


def test_a_file_of_arguments_may_hold_the_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "args.json"
    file.write_text(json.dumps({"database_url": URL}))
    assert main(["--args-file", str(file)]) == EXIT_BAD_INPUT
    assert "PAVEMAP_STORAGE_URL" in capsys.readouterr().err
