"""From a configuration to a finished model folder: `python -m pavemap.training.run --config FILE`."""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavemap.geo.errors import PavemapError
from pavemap.geo.logs import configure_logs
from pavemap.training.checks import check
from pavemap.training.config import TrainConfig, load_config, read_config
from pavemap.training.errors import BadTrainingConfig, TrainingFailed
from pavemap.training.models.card import read_card
from pavemap.training.models.model_registry import ModelRegistry
from pavemap.training.progress_file import OnProgress, followed, seconds_trained
from pavemap.training.tracking import Tracking

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from pavemap.training.start import Weights


@dataclass(frozen=True)
class TrainResult:
    """What a finished run leaves."""

    model: Path  # a folder with weights.safetensors and card.json
    model_id: str
    iterations: int
    loss: float
    seconds: float  # of all iterations, those of earlier sessions included
    metrics: dict[str, Any]


def train(
    config: TrainConfig,
    *,
    on_progress: OnProgress | None = None,
    registry: ModelRegistry | None = None,
) -> TrainResult:
    """Fit a network with Ray Train and write its model folder to `<output>/model`.

    Where an MLflow server is named, it is told of the run (`tracking.py`).
    With a `registry` the model is scored beside the version in use and ends as a model version.

    The same configuration again goes on where an interrupted run stopped. Data and settings are
    checked first; nothing is started when they are wrong.

    Raises BadTrainingConfig, BadTrainingData, or TrainingFailed.
    """
    from pavemap.training.start import former_weights, with_its_vectorize

    check(config)
    former = former_weights(config, registry)
    config = with_its_vectorize(config, registry)
    if registry is not None:
        registry.folder_in_use()  # a database that can't be reached is better known now than in an hour
    tracking = Tracking.configured(config)
    config.output.mkdir(parents=True, exist_ok=True)

    def tell(values: Mapping[str, Any]) -> None:
        tracking.progress(values)
        if on_progress is not None:
            on_progress(values)

    with _alone_in(config.output), tracking:
        found = _train(config, former, tell, registry)
        tracking.finished(read_card(found.model))
    return found


def _train(
    config: TrainConfig, former: Weights | None, tell: OnProgress, registry: ModelRegistry | None
) -> TrainResult:
    from pavemap.training.room import lack_told
    from pavemap.training.start import completed

    with _ray_for(config), lack_told(config), followed(config.output, tell):
        result = _fit(config, completed(former, config))
    from pavemap.training.finish import write_model

    seconds = seconds_trained(config)
    in_use = None if registry is None else registry.folder_in_use()
    with result.checkpoint.as_directory() as folder:
        card = write_model(
            config,
            Path(folder),
            config.output / "model",
            former=former,
            seconds=seconds,
            in_use=in_use,
        )
    if registry is not None:
        registry.register(config.output / "model")
    return TrainResult(
        model=config.output / "model",
        model_id=card.model_id,
        iterations=int(result.metrics["iteration"]),
        loss=float(result.metrics["loss"]),
        seconds=seconds,
        metrics=dict(card.metrics),
    )


@contextlib.contextmanager
def _ray_for(config: TrainConfig) -> Iterator[None]:
    """Join or start Ray, unless the process has one already.

    Raises TrainingFailed where that fails, or where a Ray that was started here lacks GPUs.
    """
    import ray

    from pavemap.training.room import refuse_without_gpus

    if ray.is_initialized():
        yield
        return
    local: dict[str, Any] = {"num_cpus": config.workers + 1, "include_dashboard": False}
    try:
        ray.init(
            address=config.ray_address or "local",
            log_to_driver=False,
            configure_logging=False,
            **({} if config.ray_address else local),
        )
    except Exception as exc:  # Ray raises many kinds; all mean that there is none
        ray.shutdown()  # of what was started half
        advice = (
            f"see that Ray runs at {config.ray_address}, or leave ray_address out to train here"
            if config.ray_address
            else "if other work keeps this machine busy, run the same command when there is less"
        )
        raise TrainingFailed(f"training {config.name} got no Ray: {exc}; {advice}") from exc
    try:
        if not config.ray_address:
            refuse_without_gpus(config, ray.cluster_resources())
        yield
    finally:
        ray.shutdown()


def _fit(config: TrainConfig, start: Weights | None) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from pavemap.training.loop import train_worker
    from pavemap.training.snapshot import CHECKPOINTS_KEPT, mend_snapshot

    storage = config.output.resolve() / "ray"
    checkpoints = storage / config.name
    mend_snapshot(checkpoints, config)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"settings": config.model_dump(mode="json"), "start": start},
        scaling_config=_scaling(config),
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        run_config=RunConfig(
            name=config.name,
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=config.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=CHECKPOINTS_KEPT),
        ),
    )
    try:
        result = trainer.fit()
    except Exception as exc:  # Ray raises many kinds; all mean that the run has ended
        raise TrainingFailed(
            f"training {config.name} stopped: {exc}; "
            "run the same command to go on from its last checkpoint"
        ) from exc
    if result.checkpoint is None:
        raise TrainingFailed(f"training {config.name} ended without a checkpoint")
    mend_snapshot(checkpoints, config)  # of what workers that were killed meanwhile have left
    return result


def _scaling(config: TrainConfig) -> Any:
    """A fixed number of workers; or an elastic one, which Ray restarts from the last checkpoint."""
    from ray.train import ScalingConfig

    few, many = config.workers_min, config.workers
    changing: dict[str, Any] = {  # ray.train declares the class of its former version
        "num_workers": many if few is None else (few, many),
        "elastic_resize_monitor_interval_s": config.resize_every_s,
    }
    return ScalingConfig(use_gpu=config.use_gpu, **changing)


@contextlib.contextmanager
def _alone_in(output: Path) -> Iterator[None]:
    """Hold the output folder: two runs at once would mix their checkpoints, progress and models.

    Raises TrainingFailed where another process holds it. A file system without locks is trusted.
    """
    with (output / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise TrainingFailed(
                f"another training is at work in {output}; wait for its end, or name another output"
            ) from exc
        except OSError as exc:
            log.warning("%s can't be locked (%s); see that nothing else trains there", output, exc)
        yield


def main(arguments: list[str] | None = None) -> int:
    """The command line; prints one JSON object a line, the last one is the result."""
    parser = argparse.ArgumentParser(prog="python -m pavemap.training.run", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, help="a .json or .toml file")
    source.add_argument("--config-json", help="the configuration itself, as a JSON object")
    source.add_argument("--config-base64", help="the same in base 64, which no shell changes")
    parser.add_argument(
        "--check", action="store_true", help="check settings, data and start_from, start nothing"
    )
    parser.add_argument(
        "--register", action="store_true", help="end as a model version of the platform"
    )
    options = parser.parse_args(arguments)
    try:
        config = _config(options)
        if options.check:
            _print_json({"images": _checked(config, with_registry=options.register)})
            return 0
        registry = ModelRegistry.from_environment() if options.register else None
        result = train(config, on_progress=_print_json, registry=registry)
    except PavemapError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    _print_json(
        {
            "model": str(result.model),
            "model_id": result.model_id,
            "seconds": round(result.seconds, 1),
            "metrics": result.metrics,
        }
    )
    return 0


def _checked(config: TrainConfig, *, with_registry: bool) -> int:
    """Check settings, data and the model to start from; the number of training images."""
    from pavemap.training.start import former_weights

    images = check(config)
    if config.start_from is not None:  # nothing else asks for the platform
        former_weights(config, ModelRegistry.from_environment() if with_registry else None)
    return images


def _config(options: argparse.Namespace) -> TrainConfig:
    if options.config:
        return load_config(options.config)
    if options.config_base64 is None:
        return read_config(options.config_json)
    try:
        return read_config(base64.urlsafe_b64decode(options.config_base64).decode())
    except ValueError as exc:
        raise BadTrainingConfig("--config-base64 is no text in base 64") from exc


def _print_json(values: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _configure_logs() -> None:
    """Log as PAVEMAP_LOG_LEVEL and PAVEMAP_LOG_FORMAT say, as the platform's processes do."""
    level = os.environ.get("PAVEMAP_LOG_LEVEL") or "INFO"
    if level not in logging.getLevelNamesMapping():
        sys.exit(f"PAVEMAP_LOG_LEVEL can't be {level!r}; take DEBUG, INFO, WARNING or ERROR")
    configure_logs(level=level, as_json=os.environ.get("PAVEMAP_LOG_FORMAT") == "json")


if __name__ == "__main__":
    _configure_logs()
    sys.exit(main())
