"""Growing, slightly random pauses between tries at something that is away."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that double from `first_s` to `most_s`, each cut by up to a half: waiters spread out."""

    def __init__(self, *, first_s: float = 0.5, most_s: float = 15.0) -> None:
        """Start at the first pause."""
        self._first_s = first_s
        self._most_s = most_s
        self._upper_s = first_s

    def next_s(self) -> float:
        """Return the next pause in seconds."""
        upper_s, self._upper_s = self._upper_s, min(2.0 * self._upper_s, self._most_s)
        return upper_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start over: it answered."""
        self._upper_s = self._first_s
