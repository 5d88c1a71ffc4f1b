"""What the commands that survey files share: layers out, a summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pavemap.platform.cli.console import number, print_facts, print_json, too_coarse
from pavemap.platform.cli.tables import print_segments

if TYPE_CHECKING:
    from pavemap.platform.exports.export import Export
    from pavemap.platform.file_survey.survey import FileSurvey

OUTPUT_HELP = (
    "File to write: .gpkg with all layers, or .geojson or .csv with the cracks; with --roads the segments "
    "are then in NAME_segments and their pieces in NAME_pieces beside it."
)
WORST = 10
"""Segments shown; the file has all of them."""


def write_survey(export: Export, found: FileSurvey, *, threshold: float, source: str) -> list[str]:
    """Write a survey's layers, with what they rest on; return the files."""
    told = f"{source}: threshold {threshold:g}, {found.gsd_m * 1000:.3g} mm a pixel."
    export.descriptions.update({layer.name: told for layer in export.layers})
    with export:
        export.write("cracks", found.cracks)
        if found.segments is not None and found.pieces is not None:
            export.write("segments", found.segments)
            export.write("pieces", found.pieces)
    return [str(file) for file in export.files]


def report(
    found: FileSurvey,
    files: list[str],
    *,
    as_json: bool,
    more: Mapping[str, object] | None = None,
) -> None:
    """Say what was found and what it took; `more` are facts of one command."""
    facts: dict[str, Any] = {
        "files": files,
        "model": found.model,
        **(more or {}),
        "gsd_m": found.gsd_m,
        "cells": found.cells,
        "imaged_m2": round(found.imaged_m2, 3),
        "cracks": len(found.cracks),
        "crack_length_m": round(found.crack_length_m, 3),
        "density_m_per_m2": found.density_m_per_m2,
        "seconds": {name: round(spent, 2) for name, spent in found.seconds.items()},
        "wall_s": round(found.wall_s, 2),
        "mpx": round(found.mpx, 2),
        "mpx_per_s": {name: round(speed, 2) for name, speed in found.speeds().items()},
    }
    ranked = _ranked(found)
    if as_json:
        print_json(facts | ({} if found.segments is None else {"segments": ranked}))
        return
    ground = "imaged pavement" if found.segments is not None else "imaged"
    print_facts(
        {
            **{name: str(fact) for name, fact in (more or {}).items()},
            ground: number(found.imaged_m2, 1, unit="m²"),
            **too_coarse(_too_coarse_m2(found)),
            "cracks": f"{len(found.cracks):,}",
            "crack length": number(found.crack_length_m, 1, unit="m"),
            "density": number(found.density_m_per_m2, 3, unit="m/m²"),
            "time": f"{found.wall_s:.1f} s ({found.speeds()['overall']:.1f} Mpx/s)",
            "written": ", ".join(files),
        }
    )
    if ranked:
        print_segments(ranked[:WORST])


def _too_coarse_m2(found: FileSurvey) -> float:
    table = found.segments
    return 0.0 if table is None else float((table["too_coarse"] * table["pavement_m2"]).sum())


def _ranked(found: FileSurvey) -> list[dict[str, Any]]:
    """Return the imaged segments as JSON values, the worst first."""
    if found.segments is None:
        return []
    table = found.segments.drop(columns=["geometry", "line"])
    table = table[table["imaged_m2"] > 0.0].sort_values(
        ["density_m_per_m2", "segment_key"], ascending=[False, True]
    )
    plain = table.astype(object).where(table.notna(), None)  # JSON has no NaN
    rows: list[dict[str, Any]] = plain.to_dict("records")
    return rows
