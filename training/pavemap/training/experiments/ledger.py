"""What an experiment has found so far: one JSON line for each finished run, so that it can go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / FILE
        torn = path.exists() and not path.read_bytes().endswith(b"\n")
        line = json.dumps({"key": key, **record}, ensure_ascii=False)
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + line + "\n")
