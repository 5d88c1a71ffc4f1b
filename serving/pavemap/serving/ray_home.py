"""Where a Ray of our own keeps its files, and the environment its processes and clients need."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_FOLDER_CHARS = 40
"""A socket's path may have 107 characters, of which Ray's own session folder takes up to 65."""

TOKEN_FILE = "ray_token"


@dataclass(frozen=True)
class RayHome:
    """The folder of one local Ray: sessions, logs, and the token without which no one may use it."""

    folder: Path
    """Ray's temporary folder (short)."""
    token: Path
    """File of the token that Ray's clients (a job submission, say) must show."""
    borrowed: bool
    """Whether `folder` lies in the system's temporary folder, to be removed at the end."""

    @classmethod
    def at(cls, folder: Path) -> RayHome:
        """Prepare a folder; one with too long a name for sockets keeps the token only."""
        folder = folder.expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / TOKEN_FILE
        if not token.exists():
            # Written aside and linked: two that start at once get the same token.
            draft = folder / f"{TOKEN_FILE}.{os.getpid()}"
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_hex(32))
            try:
                os.link(draft, token)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        if len(str(folder)) > MAX_FOLDER_CHARS:
            return cls(Path(tempfile.mkdtemp(prefix="pavemap-")), token, borrowed=True)
        return cls(folder, token, borrowed=False)

    def environment(self) -> dict[str, str]:
        """Return what Ray's processes and clients have to find in their environment."""
        return client_environment(self.folder if not self.borrowed else self.token.parent)

    def remove(self) -> None:
        """Remove the files of a Ray that has ended, where the folder was borrowed."""
        if self.borrowed:
            shutil.rmtree(self.folder, ignore_errors=True)


def client_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a client of the Ray that was started with this folder.

    Without it Ray would make, and look for, a token in the user's home.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder.expanduser().resolve() / TOKEN_FILE),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def ray_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables, not yet set, under which Ray logs plainly and waits for a busy machine."""
    wanted = {
        # Beside other work a node may take longer than Ray's own 30 s until it is known.
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_COLOR_PREFIX": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_DISABLE_WORKER_LOG_PREFIX": "1",
        "RAY_SCHEDULER_EVENTS": "0",
    }
    return {name: value for name, value in wanted.items() if name not in environment}
