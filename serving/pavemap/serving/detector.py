"""The Detector: one network per replica, fed with batches of chips."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray import serve

from pavemap.serving.args import ServingArgs
from pavemap.serving.batches import Chips, check_chip, predict_batch
from pavemap.serving.logs import configure_logs
from pavemap.training.inference import CrackModel
from pavemap.training.registry import find_model

log = logging.getLogger(__name__)


class Detector:
    """Serve deployment: chips in, probability maps out."""

    def __init__(self, args: ServingArgs) -> None:
        """Load the model onto the GPU that Ray gave this replica, or onto the CPU."""
        configure_logs(level=args.log_level, as_json=args.log_json)
        on_gpu = bool(ray.get_gpu_ids())
        threads = args.detector_threads or max(1, (os.cpu_count() or 1) // args.detector_replicas)
        self._model = CrackModel.load(
            find_model(args.model), device="cuda" if on_gpu else "cpu", threads=threads
        )
        batching: Any = self._batch
        batching.set_max_batch_size(args.chips_per_detector(on_gpu=on_gpu)[0])
        batching.set_batch_wait_timeout_s(args.batch_wait_s)
        # One thread computes while the event loop takes in the next chips and answers health checks.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
        log.info("detector with %s on %s", self._model.card.model_id, "GPU" if on_gpu else "CPU")

    async def detect(self, chip: Chips) -> Chips:
        """Return the probability map (H, W) uint8 of a chip (H, W, 3) uint8 RGB.

        Raises BadInput for another shape or type, and whatever the network raises for this chip.
        """
        check_chip(chip)
        result: Chips | Exception = await self._batch(chip)
        if isinstance(result, Exception):
            raise result
        return result

    async def model_id(self) -> str:
        """Return the id of the model version in use."""
        return str(self._model.card.model_id)

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0)
    async def _batch(self, chips: list[Chips]) -> list[Chips | Exception]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, predict_batch, self._model.predict, chips)
