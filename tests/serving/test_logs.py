"""Log lines: one object a line when asked for, with what the caller added."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from pavemap.serving.logs import configure_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("pavemap")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def test_a_json_line_holds_message_level_extras_and_the_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(level="INFO", as_json=True)
    try:
        raise ValueError("no road")
    except ValueError:
        logging.getLogger("pavemap.x").exception("cell %d", 7, extra={"survey": "a"})
    (line,) = capsys.readouterr().err.splitlines()
    fields = json.loads(line)
    assert (fields["message"], fields["level"], fields["survey"]) == ("cell 7", "ERROR", "a")
    assert "ValueError: no road" in fields["error"]


def test_plain_lines_are_the_default_and_are_written_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(level="INFO", as_json=False)
    configure_logs(level="INFO", as_json=False)
    logging.getLogger("pavemap.x").info("ready")
    logging.getLogger("pavemap.x").debug("unseen")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("INFO pavemap.x: ready")
