"""The Detector: networks on one device, fed with batches of chips."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray import serve

from pavemap.geo.logs import about, configure_logs
from pavemap.serving.args import ServingArgs
from pavemap.serving.batches import Chips, check_chip, predict_batch
from pavemap.serving.device_health import DeviceHealth, loaded
from pavemap.serving.metrics import DetectorMetrics
from pavemap.serving.model_in_use import configured_registry, follow_model_in_use
from pavemap.serving.shelf import ModelShelf
from pavemap.training.inference import CrackModel
from pavemap.training.models.shipped_models import find_model_folder

log = logging.getLogger(__name__)

Asked = tuple[Chips, str | None]
"""A chip, and the model version that it wants (None: the one in use)."""


class Detector:
    """Serve deployment: chips in, probability maps out, by whichever model version a chip names."""

    def __init__(self, args: ServingArgs) -> None:
        """Load the default model onto the GPU that Ray gave this replica, or onto the CPU."""
        configure_logs(level=args.log_level, as_json=args.log_json)
        on_gpu = bool(ray.get_gpu_ids())
        threads = args.detector_threads or max(1, (os.cpu_count() or 1) // args.detector_replicas)
        device = "cuda" if on_gpu else "cpu"

        def load(folder: Path) -> CrackModel:
            return CrackModel.load(folder, device=device, threads=threads)

        registry = configured_registry(args)
        self._shelf = loaded(
            lambda: ModelShelf(
                find_model_folder(args.model or None),
                load=load,
                find=registry.folder if registry else find_model_folder,
            )
        )
        self._metrics = DetectorMetrics()
        self._health = DeviceHealth()
        batching: Any = self._batch
        batching.set_max_batch_size(args.chips_per_detector(on_gpu=on_gpu)[0])
        batching.set_batch_wait_timeout_s(args.batch_wait_s)
        # One thread computes while the event loop takes in the next chips and answers health checks.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        if registry and not args.model:
            follow_model_in_use(registry, self._use, every_s=args.poll_s)
        log.info("detector with %s on %s", self._shelf.default_id, "GPU" if on_gpu else "CPU")

    def _use(self, model_id: str) -> bool:
        """Make a model version the default; False when this replica ends. Raises what loading does."""
        try:
            making = self._executor.submit(self._shelf.make_default, model_id)
        except RuntimeError:  # the executor is shut down
            return False
        making.result()
        return True

    async def detect(
        self, chip: Chips, model_id: str | None = None, ids: Mapping[str, Any] | None = None
    ) -> Chips:
        """Return the probability map (H, W) uint8 of a chip (H, W, 3) uint8 RGB.

        `model_id` names a model version; None is the one in use. Raises BadInput for another shape or
        type, NotFound for an unknown version, and whatever the network raises for this chip. `ids` are what
        log lines about the chip shall bear.
        """
        check_chip(chip)
        result: Chips | Exception = await self._batch((chip, model_id))
        if isinstance(result, Exception):
            with about(**(ids or {})):
                log.error("a chip of %s failed: %s", chip.shape, result)
            raise result
        with about(**(ids or {})):
            log.debug("detected a chip of %s", chip.shape)
        return result

    async def check_health(self) -> None:
        """Asked by Serve every few seconds. Raises RuntimeError when this replica is of no use any more."""
        self._health.check()

    async def model_id(self) -> str:
        """Return the id of the model version that chips which name none are detected by."""
        return self._shelf.default_id

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0)
    async def _batch(self, asked: list[Asked]) -> list[Chips | Exception]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._predict, asked)

    def _predict(self, asked: list[Asked]) -> list[Chips | Exception]:
        """Predict a batch, the chips of each model version together."""
        self._metrics.observe_batch(len(asked))
        results: dict[int, Chips | Exception] = {}
        for wanted in dict.fromkeys(model_id for _, model_id in asked):
            members = [index for index, (_, model_id) in enumerate(asked) if model_id == wanted]
            try:
                predict = self._shelf.get(wanted).predict
            except Exception as exc:
                results.update(dict.fromkeys(members, self._health.blamed(exc)))
            else:
                found = predict_batch(predict, [asked[index][0] for index in members])
                blamed = [
                    self._health.blamed(one) if isinstance(one, Exception) else one for one in found
                ]
                results.update(zip(members, blamed, strict=True))
        return [results[index] for index in range(len(asked))]
