"""A file from the server holds one state of a survey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from cli_world import Cli
from pavemap.geo.errors import Conflict, Unavailable
from pavemap.platform.client.survey_download import raise_if_remeasured, retry_if_remeasured


@pytest.mark.parametrize("anew", ["Spring", "Autumn"])
def test_a_file_of_changes_holds_one_state_of_either_survey(
    anew: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A survey is measured anew between the two layers: both are read again."""
    finished = {"Spring": "8:00", "Autumn": "9:00"}
    accuracy = {
        f"{of}_{when}": 0.9 for of in ("precision", "recall") for when in ("before", "after")
    }
    survey = {"model": "survey-unet-fffb1082", "heeded_reviews": None}
    read: list[str] = []

    def change(_: str, *, layer: str = "segments", **__: Any) -> Iterator[list[dict[str, Any]]]:
        read.append(layer)
        if len(read) == 2:
            finished[anew] = "9:30"
        kept = {"segment_id": 1, "segment_key": finished[anew]}
        shape = {"type": "LineString", "coordinates": [[13.0, 52.0], [13.1, 52.0]]}
        yield [{"type": "Feature", "geometry": shape, "properties": kept}]

    client = Mock(
        change=change,
        find_survey=lambda name: {"id": name, "name": name, **survey},
        survey=lambda name: {"finished_at": finished[name]},
        change_summary=lambda *_, **__: accuracy | {"tolerance_m": 0.1, "accuracy_stated": True},
    )
    monkeypatch.setattr("pavemap.platform.cli.changes.connect", lambda _: nullcontext(client))
    target = tmp_path / "change.geojson"
    Cli()("change", "Autumn", "--since", "Spring", "-o", target, "--json")

    assert read[:4] == ["segments", "cracks"] * 2
    assert "9:30" in target.read_text()


def test_a_server_away_for_a_moment_costs_no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pavemap.platform.client.server_connection.time.sleep", lambda _: None)
    answers = iter([Unavailable("away"), "8:00", Unavailable("away"), "8:00"])

    def survey(_: str) -> dict[str, object]:
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return {"finished_at": answer}

    with raise_if_remeasured(Mock(survey=survey), "spring"):
        pass
    assert next(answers, None) is None


def test_what_is_measured_anew_while_it_is_read_is_read_again() -> None:
    moments = iter(["8:00", "8:05", "8:05", "8:05"])
    client = Mock(survey=lambda _: {"finished_at": next(moments)})
    read: list[int] = []

    def work() -> int:
        with raise_if_remeasured(client, "spring"):
            read.append(len(read))
        return read[-1]

    assert retry_if_remeasured(work) == 1
    changing = iter(range(9))
    client.survey = lambda _: {"finished_at": next(changing)}
    with pytest.raises(Conflict, match="measured anew"):
        retry_if_remeasured(work)
