"""What an experiment has found so far: one JSON line for each finished run, so that it can go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pavemap.training.progress_file import append_line

Record = dict[str, Any]
FILE = "runs.jsonl"


@dataclass(frozen=True)
class Ledger:
    """The finished runs in a folder, each under its key."""

    folder: Path

    def records(self) -> dict[str, Record]:
        """Finished runs by key, in the order in which they ended; a line cut short is no run."""
        found: dict[str, Record] = {}
        path = self.folder / FILE
        if not path.exists():
            return found
        for line in path.read_text(encoding="utf-8").split("\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            found[record["key"]] = record
        return found

    def add(self, key: str, record: Record) -> None:
        """Append one finished run; a line that a crash cut short is ended first."""
        append_line(self.folder / FILE, json.dumps({"key": key, **record}, ensure_ascii=False))
