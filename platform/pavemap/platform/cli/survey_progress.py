"""A survey at work and when it is done, as the terminal shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pavemap.geo.errors import PavemapError
from pavemap.platform.cli.console import (
    counted,
    note,
    number,
    print_facts,
    print_json,
    progress_bars,
    too_coarse,
)

if TYPE_CHECKING:
    from pavemap.platform.client.api_client import Client

Survey = dict[str, Any]


def finished(client: Client, survey_id: str, *, quiet: bool) -> Survey:
    """Wait for a survey; say, when the user stops waiting, that it doesn't stop."""
    try:
        with cell_bar(quiet=quiet) as show:
            return client.wait(survey_id, on_progress=show)
    except (KeyboardInterrupt, SystemExit):
        note("the survey goes on at the server; pavemap survey status tells how far it is")
        raise


@contextmanager
def cell_bar(*, quiet: bool) -> Iterator[Callable[[Survey], None]]:
    """Show how many cells are over, and what keeps the survey from going on."""
    with progress_bars(quiet=quiet) as bars:
        task = bars.add_task("Cells", total=None)
        told = ""

        def show(survey: Survey) -> None:
            nonlocal told
            if not quiet and survey["attention"] != told:
                _note_attention(survey)
            told = survey["attention"]
            cells = survey["cells"]
            said = f"Cells ({survey['state']})"
            over = cells["done"] + cells["failed"]
            bars.update(task, total=cells["total"], completed=over, description=said)

        yield show


def note_standing(survey: Survey) -> None:
    """Say of which run a survey's figures are, where that is not one of its present imagery."""
    if survey["finished_at"] is None:
        note("the survey has not been run: it has no figures yet (pavemap survey run)")
    elif survey["state"] != "done":
        note(f"the survey is {survey['state']}: these are the figures of its last finished run")
    _note_attention(survey)


def _note_attention(survey: Survey) -> None:
    if survey["attention"]:
        note(f"Attention: {survey['attention']}.")


def report(survey: Survey, summary: dict[str, Any], *, as_json: bool) -> None:
    """Print a survey; a failed one ends the command with exit code 1."""
    if as_json:
        print_json({**survey, "summary": summary})
    else:
        cells = survey["cells"]
        print_facts(
            {
                "survey": f"{survey['name']} ({survey['id']})",
                "state": survey["state"],
                "tiles": f"{survey['orthophotos']:,}",
                "cells": f"{cells['done']:,} of {cells['total']:,} done, {cells['failed']:,} failed",
                "narrowest": f"{survey['smallest_width_mm']:.3g} mm wide cracks are told from wider ones",
                "imaged": number(summary["imaged_m2"], 1, unit="m²"),
                **too_coarse(summary["too_coarse_m2"]),
                "cracks": number(summary["crack_count"], 0),
                "crack length": number(summary["crack_length_m"], 1, unit="m"),
                "density": number(summary["density_m_per_m2"], 3, unit="m/m²"),
                **_as_reviewed(survey),
            }
        )
        for error, count in cells["errors"].items():
            note(f"{counted(count, 'cell')} failed: {error}")
        _note_attention(survey)
    if survey["state"] == "failed":
        raise PavemapError(survey["error"] or "the survey failed; see the log of the server")


def _as_reviewed(survey: Survey) -> dict[str, str]:
    heeded = survey["heeded_reviews"]
    return {} if heeded is None else {"figures": f"heed {counted(heeded, 'review')}"}
