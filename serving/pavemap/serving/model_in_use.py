"""Follows which model version is in use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pavemap.geo.errors import BadInput, PavemapError
from pavemap.serving.args import ServingArgs
from pavemap.training.models.model_registry import ModelRegistry

log = logging.getLogger(__name__)


def configured_registry(args: ServingArgs) -> ModelRegistry | None:
    """Return it where database and storage are named; None for a service that only detects."""
    try:
        url, storage = args.database(), args.storage()
    except BadInput:
        return None
    return ModelRegistry.connect(url, storage, application_name="pavemap detector")


def follow_model_in_use(
    registry: ModelRegistry, changed: Callable[[str], bool], *, every_s: float
) -> None:
    """Call `changed` with the version in use, every so often, until it says that it is over (False).

    What fails (the database is away, a version can't be loaded) is tried again; until then the
    Detector goes on with what it has.
    """

    def look() -> None:
        pause = threading.Event()
        while True:
            try:
                if not changed(registry.id_in_use()):
                    return
            except PavemapError as exc:
                log.debug("the model in use is not known: %s", exc)
            except Exception:  # as when a GPU's memory is short for a moment
                log.warning("the model in use can't be loaded", exc_info=True)
            pause.wait(every_s)

    threading.Thread(target=look, name="model in use", daemon=True).start()
