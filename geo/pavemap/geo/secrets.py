"""Secrets that come in files, as Kubernetes and Docker mount them, so that they can be replaced."""

from __future__ import annotations

import os
from pathlib import Path

from pavemap.geo.errors import BadInput

FILE_SUFFIX = "_FILE"


def secret(variable: str) -> str | None:
    """Return the secret of an environment variable, or of the file that VARIABLE_FILE names.

    Without the line break at its end: a Secret of Kubernetes that was typed has one, and pods get it as it
    is. None when neither is set. Raises BadInput when the file can't be read or is empty.
    """
    given = os.environ.get(variable, "").strip()
    if given:
        return given
    file = os.environ.get(variable + FILE_SUFFIX)
    return read_secret(Path(file)) if file else None


def read_secret(path: Path) -> str:
    """Return the content of a file without the line break at its end. Raises BadInput."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"the secret in {path} can't be read ({exc}); is it mounted?") from exc
    if not text:
        raise BadInput(f"the file {path} is empty; it should hold a secret")
    return text
