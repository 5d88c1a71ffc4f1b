"""Python code in a process of its own: what a module does to one, and what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def ran(code: str, *, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a folder, with more in its environment; it has to end well."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
