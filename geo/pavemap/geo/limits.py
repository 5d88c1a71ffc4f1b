"""Numbers that several floors go by: how much is taken, and what holds where nothing is said."""

from __future__ import annotations

MAX_TOLERANCE_M = 5.0
"""How far apart two surveys may show a crack; a lane and more: beyond it anything matches anything."""

MAX_POSITION_RMSE_M = 10.0
"""Horizontal error of imagery: beyond, it lies on another road."""

MAX_WIDTH_MM = 1000.0
"""Of a crack that somebody draws or judges."""

CHIP_PX, MIN_CHIP_PX, MAX_CHIP_PX = 512, 64, 2048
"""Side of a training image in pixels."""

ASSUMED_ACCURACY = 0.8
"""Precision and recall of a detector whose card states none: modest, so that the uncertainty is wide."""
