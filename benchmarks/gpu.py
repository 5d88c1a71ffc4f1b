"""Detection and training on a GPU, in some minutes: `python benchmarks/gpu.py`; `--dry` tries it on a CPU.

Detection: the default model and the paper's network in bf16 and channels last, eager, compiled, and as a
CUDA graph; in the GPU's memory alone, and with bytes copied from and to pinned memory beside the computing;
with the share of the bf16 matrix rate of the same run. Training: the paper's 30,000 iterations fed in three
ways. What fails is said, and the rest goes on. No figure of a GPU stands in docs/ until it was run on one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gpu_detection import (
    NetworkPass,
    Pass,
    Work,
    compiled,
    graphed,
    megapixels_a_second,
    megapixels_a_second_with_copies,
)
from gpu_training import (
    PAPERS_ITERATIONS,
    as_trained,
    drawn_images,
    graphed_step,
    measure,
    papers_config,
    patches_on_device,
    sampler_rate,
    survey_config,
)
from rates import flop_per_pixel, matrix_rate
from safetensors.torch import load_file

from pavemap.training.architectures import build_network
from pavemap.training.models.card import WEIGHTS_FILE, read_card
from pavemap.training.models.shipped_models import default_model_folder, find_model_folder
from pavemap.training.networks.dense import DenseForm, dense_form

Row = dict[str, Any]


def form_of(name: str) -> DenseForm:
    """A shipped model's dense form with its weights; the paper's network on every fourth pixel."""
    folder = find_model_folder(name)
    card = read_card(folder)
    network = build_network(card.architecture, card.architecture_args, channels=card.channels)
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return dense_form(network, calibration=card.calibration)


def ways(name: str, work: Work) -> Iterator[tuple[str, Callable[[], tuple[NetworkPass, Pass]]]]:
    """Each way to run a model's network, made only when it is asked for."""

    def fresh() -> NetworkPass:
        form = form_of(name)
        return NetworkPass(form, work.chips(form, 3), work.device)

    def as_graph(one: NetworkPass) -> tuple[NetworkPass, Pass]:
        return one, graphed(one, work.device)

    yield "eager", lambda: (one := fresh(), one)
    yield "CUDA graph", lambda: as_graph(fresh())
    if work.device.type == "cuda":  # on a CPU it takes minutes, and tells nothing
        yield "compiled", lambda: (one := compiled(fresh()), one)
        yield "compiled, CUDA graph", lambda: as_graph(compiled(fresh()))


def detection(names: list[str], work: Work, rate: float) -> Iterator[Callable[[], Row]]:
    """The rows of the table of detection."""
    for name in names:
        asked = flop_per_pixel(form_of(name))
        for way, make in ways(name, work):

            def row(
                name: str = name,
                way: str = way,
                asked: float = asked,
                make: Callable[[], tuple[NetworkPass, Pass]] = make,
            ) -> Row:
                one, run = make()
                alone = megapixels_a_second(run, work)
                return {
                    "what": f"{name}, {way}",
                    "mpx_per_s": round(alone, 3),
                    "with_copies_mpx_per_s": round(
                        megapixels_a_second_with_copies(one, run, work), 3
                    ),
                    "tflop_per_s": round(alone * 1e6 * asked / 1e12, 4),
                    "share_of_matrix_rate": round(alone * 1e6 * asked / rate, 4),
                }

            yield row


def training(
    iterations: int, images: int, device: torch.device, *, dry: bool
) -> Iterator[Callable[[], Row]]:
    """The rows of the table of training."""
    drawn, paper, survey = drawn_images(images), papers_config(), survey_config()
    if dry:
        paper = paper.model_copy(update={"batch_size": 8})
        survey = survey.model_copy(update={"batch_size": 2, "crop_px": 64})
    many = {"threads": min(12, os.cpu_count() or 1)}
    fed = {
        "fan2018, `pavemap train`, 1 thread": (paper, as_trained),
        "fan2018, `pavemap train`, many threads": (paper.model_copy(update=many), as_trained),
        "fan2018, patches cut on the device": (paper, patches_on_device),
        "fan2018, the whole iteration as a CUDA graph": (paper, graphed_step),
        "survey-unet, `pavemap train`, many threads": (survey.model_copy(update=many), as_trained),
    }
    for what, (config, make) in fed.items():

        def row(what: str = what, config: Any = config, make: Any = make) -> Row:
            of_paper = config.architecture == "fan2018"
            count = iterations if of_paper else max(2, iterations // 5)
            speed = measure(make(config, drawn, device), count, device)
            found = {
                "what": what,
                "iterations_per_s": round(speed.iterations / speed.seconds, 2),
                "samples_per_s": round(speed.iterations * config.batch_size / speed.seconds),
                "loss": f"{speed.first_loss:.2f} to {speed.last_loss:.2f}",
            }
            if of_paper:
                done = speed.iterations >= PAPERS_ITERATIONS
                found["30,000 iterations"] = (
                    f"{speed.whole_run_s:.1f} s, {'measured' if done else 'projected'}"
                )
            return found

        yield row
    for what, config in (("fan2018", paper), ("survey-unet", survey)):

        def rate(what: str = what, config: Any = config) -> Row:
            found = sampler_rate(config, drawn, max(2, iterations // 10))
            return {"what": f"{what}, sampler alone, one thread", "batches_per_s": round(found, 1)}

        yield rate


def facts(device: torch.device, rate: float) -> Row:
    """The machine, and its bf16 matrix product in this run."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "bf16_matrix_tflop_per_s": round(rate / 1e12, 3),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a JSON object a line; 1 when a part failed, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=[default_model_folder().name, "fan2018"])
    parser.add_argument("--batch", type=int, default=16, help="tiles in a batch")
    parser.add_argument("--tile", type=int, default=1024, help="side of a tile in pixels")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure of detection")
    parser.add_argument("--iterations", type=int, default=2000, help="for each figure of training")
    parser.add_argument(
        "--whole", action="store_true", help=f"train all {PAPERS_ITERATIONS} iterations each time"
    )
    parser.add_argument("--dry", action="store_true", help="tiny, on the CPU: does the script run?")
    options = parser.parse_args(arguments)
    if not options.dry and not torch.cuda.is_available():
        sys.stderr.write("no GPU is to be had here; --dry tries the script on the CPU\n")
        return 2
    device = torch.device("cpu" if options.dry else "cuda")
    work = Work(device, options.batch, options.tile, options.seconds)
    iterations, images, side = options.iterations, 72, 8192
    if options.whole:
        iterations = PAPERS_ITERATIONS
    if options.dry:
        work, iterations, images, side = Work(device, 1, 64, 0.01), 2, 2, 256
    rate = matrix_rate(device, torch.bfloat16, side=side)
    print(json.dumps(facts(device, rate)), flush=True)
    failed = 0
    started = time.monotonic()
    for row in (
        *detection(options.models, work, rate),
        *training(iterations, images, device, dry=options.dry),
    ):
        try:
            print(json.dumps(row()), flush=True)
        except Exception as exc:  # the other figures are worth having
            failed += 1
            print(json.dumps({"failed": f"{type(exc).__name__}: {exc}"}), flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    print(json.dumps({"seconds": round(time.monotonic() - started, 1), "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
