"""Tables that several commands print."""

from __future__ import annotations

from typing import Any

from pavemap.platform.cli.console import note, number, print_table


def print_segments(rows: list[dict[str, Any]]) -> None:
    """Print segments as a table."""
    print_table(
        [
            "segment",
            "road",
            "from–to m",
            "m/m²",
            "PCI",
            "cracks",
            "length m",
            "imaged m²",
            "coverage",
            "unseen",
        ],
        [
            [
                row["segment_key"],
                row["name"] or "–",
                f"{row['from_m']:.0f}–{row['to_m']:.0f}",
                number(row["density_m_per_m2"], 3) + ("" if row.get("confident", True) else "*"),
                number(row.get("pci_cracking"), 0),
                number(row["crack_count"], 0),
                number(row["crack_length_m"], 1),
                number(row["imaged_m2"], 1),
                f"{row['coverage']:.0%}",
                row["reason"],
            ]
            for row in rows
        ],
        spare=("cracks", "imaged m²", "length m", "PCI", "unseen", "road"),
    )
    if not all(row.get("confident", True) for row in rows):
        note("* rests on too little coverage, or on imagery too coarse for the model.")
