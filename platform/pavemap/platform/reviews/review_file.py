"""What a review file tells of itself: its layers, and what each line said when it was exported.

With each line stands which review it had then (`review_id`) and what it said (`exported`, the survey and
a digest). So of a file that comes back only what was changed in it is sent: the rest may have been judged
otherwise by others meanwhile. Files of other origin, and those of another survey, are sent whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

LINES, AREAS = "cracks", "reviewed_areas"
"""Layers of a GeoPackage for reviewing."""

Feature = dict[str, Any]


def said_by(properties: Mapping[str, Any], course: str, survey_id: str) -> str:
    """Return a digest of what a line of a survey, with the digest of its course, says."""
    width_mm = properties.get("width_mm")
    said = [
        *(
            str(properties.get(name) or "").strip()
            for name in ("verdict", "crack_id", "reviewer", "note")
        ),
        "" if width_mm is None else f"{width_mm:.3f}",
        course,
    ]
    return f"{survey_id[:8]}:{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]}"


def of_survey(exported: Any, survey_id: str) -> str | None:
    """Return what a line was when it was exported from this survey, or None where it was not."""
    return str(exported) if str(exported).startswith(f"{survey_id[:8]}:") else None
