"""The models a Detector holds: any version by its id, the latest few loaded, one of them the default."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pavemap.training.inference import CrackModel

log = logging.getLogger(__name__)

Load = Callable[[Path], CrackModel]
Find = Callable[[str], Path]

CAPACITY = 3
"""Models held at once: the one in use, its successor, and one that an older survey still wants."""


class ModelShelf:
    """Models by id, the least recently used put away; for one thread at a time."""

    def __init__(self, default: Path, *, load: Load, find: Find, capacity: int = CAPACITY) -> None:
        """Load the default from its folder; `find` gives the folder of any other version by its id."""
        self._load, self._find, self._capacity = load, find, capacity
        self._models: OrderedDict[str, CrackModel] = OrderedDict()
        model = load(default)
        self.default_id = model.card.model_id
        self._models[self.default_id] = model

    def get(self, model_id: str | None) -> CrackModel:
        """Return a model, loaded if need be; None is the default.

        Raises NotFound, BadModel or Unavailable; what is on the shelf stays.
        """
        wanted = model_id or self.default_id
        if wanted not in self._models:
            self._models[wanted] = self._load(self._find(wanted))
            log.info("loaded model %s", wanted)
        self._models.move_to_end(wanted)
        while len(self._models) > self._capacity:
            oldest = next(one for one in self._models if one not in (self.default_id, wanted))
            del self._models[oldest]
        return self._models[wanted]

    def make_default(self, model_id: str) -> None:
        """Have chips that name no model detected by this one from now on. Raises what `get` does."""
        if model_id != self.default_id:
            self.get(model_id)
            self.default_id = model_id
            log.info("model %s is the default now", model_id)
