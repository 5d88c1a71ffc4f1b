"""Log lines: one object a line when asked for, with what they are about, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pavemap.geo.logs import about, configure_logs, known_ids, mask_secrets, note_ids


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
    assert (fields["message"], fields["level"], fields["survey"]) == ("cell 7", "error", "a")
    assert "ValueError: no road" in fields["exception"]
    assert fields["time"].endswith("Z")


def test_plain_lines_are_the_default_and_are_written_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(level="INFO", as_json=False)
    configure_logs(level="INFO", as_json=False)
    logging.getLogger("pavemap.x").info("ready")
    logging.getLogger("pavemap.x").debug("unseen")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("INFO pavemap.x: ready")


def test_every_line_bears_what_it_is_about_while_that_lasts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(level="INFO", as_json=True)
    log = logging.getLogger("pavemap.x")
    with about(survey_id="s1", cell="3,4", orthophoto=None):
        note_ids(orthophotos=("a.tif", "b.tif"))
        log.info("done")
        assert known_ids() == {"survey_id": "s1", "cell": "3,4", "orthophotos": ("a.tif", "b.tif")}
        with ThreadPoolExecutor(1) as pool:
            pool.submit(log.info, "of another thread").result()
    first, other = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["survey_id"], first["cell"]) == ("s1", "3,4")
    assert first["orthophotos"] == ["a.tif", "b.tif"]
    assert "orthophoto" not in first
    assert not {"survey_id", "orthophotos"} & set(other)
    assert known_ids() == {}, "what was noted ends with what surrounds it"


def test_lines_for_people_end_with_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", as_json=False)
    with about(cell="3,4", survey_id="s1"):
        logging.getLogger("pavemap.x").info("done")
    assert capsys.readouterr().err.endswith("pavemap.x: done survey_id=s1 cell=3,4\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_no_password_or_key_is_ever_written(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(level="INFO", as_json=as_json)
    url = "postgresql+psycopg://roads:hush@db:5432/roads"
    try:
        raise ValueError(f"no way to {url}; AWS_SECRET_ACCESS_KEY=hush")
    except ValueError:
        logging.getLogger("pavemap.x").exception("Authorization: Bearer hush %s", url)
    said = capsys.readouterr().err
    assert "hush" not in said
    assert "roads:***@db:5432" in said


FORGED = "a\n2026-11-29T00:00:00Z ERROR pavemap.geo: gone\r\x1b[2J\x9b2J\u2028\u202e"


def test_names_and_messages_forge_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", as_json=False)
    log = logging.getLogger("pavemap.x")
    with about(orthophoto=FORGED, orthophotos=(FORGED, "Straße ä.tif")):
        log.info("stored %s", FORGED)
        try:
            raise ValueError(FORGED)
        except ValueError:
            log.exception("no way")
    first, second, *trace = capsys.readouterr().err.removesuffix("\n").split("\n")
    shown = r"a\n2026-11-29T00:00:00Z ERROR pavemap.geo: gone\r\x1b[2J\x9b2J\u2028\u202e"
    assert first.endswith(
        f"INFO pavemap.x: stored {shown} orthophoto={shown} orthophotos={shown},Straße ä.tif"
    )
    assert "ERROR pavemap.x: no way orthophoto=a" in second
    assert trace[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in trace)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no postgresql://roads:pa/ss@host/db", "no postgresql://roads:***@host/db"),
        (
            "postgresql+psycopg://roads:12/ss@host:5432/db",
            "postgresql+psycopg://roads:***@host:5432/db",
        ),
        ("'postgres://roads:p@ss@host/db' a@b", "'postgres://roads:***@host/db' a@b"),
        ("http://me:pa/s?s#@proxy:3128/x", "http://me:***@proxy:3128/x"),
        ("http://me:1234@proxy/x and http://you:5@z", "http://me:***@proxy/x and http://you:***@z"),
        *(
            (plain, plain)
            for plain in (
                "http://host:8000/a@b",
                "http://[::1]:8000/a@b",
                "https://host:8443?to=a@b",
                "postgresql://host:5432/db of a@b",
                "s3://bucket/a:b@c",
                "redis://host:6379/0#a@b",
            )
        ),
    ],
)
def test_passwords_are_masked_and_nothing_else(said: str, shown: str) -> None:
    assert mask_secrets(None, "", {"message": said}) == {"message": shown}
