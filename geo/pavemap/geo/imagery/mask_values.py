"""What the pixels of a mask may say: by itself, for the command line reads it before anything is loaded."""

from __future__ import annotations

from typing import Literal

Values = Literal["auto", "mask", "probability"]
"""What pixels say: yes or no (0 is no), or how probable a crack is."""
