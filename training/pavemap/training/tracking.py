"""Tells an MLflow server of a training run: settings, loss curve, final scores, the model's card.

All is sent from a thread of its own. The training neither waits for the server nor fails with it: what it
does not take is kept and tried again with the next report, and what is left at the end is said.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pavemap.training.config import TrainConfig
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.models.card import ModelCard
from pavemap.training.models.comparison import TESTS
from pavemap.training.progress_file import PROGRESS_FILE, last_reports

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = logging.getLogger(__name__)

VARIABLE = "MLFLOW_TRACKING_URI"
SECRETS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
)
QUIET = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
"""MLflow prints where a run can be looked at, in the middle of what a training writes for programs."""

RUN_FILE = "mlflow.json"
"""In the run's output folder: where it is told of, and as which MLflow run, for when it goes on."""

PATIENCE_S = 30.0
"""How long a finished training waits for the server to take the last reports."""

MOST_PARAMS, MOST_METRICS = 100, 1000  # that MLflow takes in one batch
REFUSED = frozenset({400, 404, 409, 422})  # HTTP's: the same report will never be taken
CURVES = ("loss", "learning_rate", "samples_per_s", "waited", "workers")

Report = Callable[["MlflowClient", str], object]


class Tracking:
    """One training run on an MLflow server; does nothing where no server is named."""

    def __init__(
        self, config: TrainConfig, *, uri: str | None, patience_s: float = PATIENCE_S
    ) -> None:
        self._config, self._uri, self._patience_s = config, uri, patience_s
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._unsent: list[Report] = []
        self._told: set[int] = set()  # iterations that the server has the figures of
        self._refused = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._send_all, name="mlflow", daemon=True)

    @classmethod
    def configured(cls, config: TrainConfig) -> Self:
        """The server that the configuration names, or MLflow's own variable MLFLOW_TRACKING_URI.

        Raises BadTrainingConfig when the configuration names one and MLflow's client is not installed.
        """
        uri = config.mlflow_uri or os.environ.get(VARIABLE)
        _keep_secrets_from(config.mlflow_uri)
        if uri and find_spec("mlflow") is None:
            advice = f"a run is to be told to MLflow at {uri}; pip install 'pavemap[mlflow]'"
            if config.mlflow_uri:
                raise BadTrainingConfig(f"MLflow's client is not installed, but {advice}")
            log.warning("MLflow's client is not installed, but %s", advice)
            uri = None
        return cls(config, uri=uri)

    def __enter__(self) -> Self:
        """Begin to tell; the run appears on the server as soon as it answers."""
        if self._uri:
            self._thread.start()
            self._put(self._settings)
            self._put(self._missed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run as finished, failed or killed; wait a little for the server, then go on."""
        if not self._uri:
            return
        status = "FINISHED" if kind is None else "FAILED"
        if kind is not None and not issubclass(kind, Exception):
            status = "KILLED"
        self._put(lambda client, run: client.set_terminated(run, status=status))
        self._reports.put(None)
        self._thread.join(self._patience_s)
        if self._thread.is_alive() or self._unsent or self._refused:
            log.warning(
                "MLflow at %s has not taken all of this run (%s); nothing else is lost: the curve is in "
                "%s, the scores are in the model's card",
                self._uri,
                self._error or ("reports refused" if self._refused else "it does not answer"),
                self._config.output / PROGRESS_FILE,
            )

    def progress(self, values: Mapping[str, Any]) -> None:
        """Tell a point of the curves; one of an iteration that is learnt again is left."""
        moment = _now_ms()
        self._put(lambda client, run: self._points(client, run, [values], moment))

    def finished(self, card: ModelCard) -> None:
        """Tell the final scores, and keep the card with the run."""
        step, moment = int(card.training.get("iterations", 0)), _now_ms()
        scores = dict(_scores(card))
        self._put(lambda client, run: client.log_batch(run, metrics=_metrics(scores, step, moment)))
        text = card.model_dump_json(indent=2)

        def tell(client: MlflowClient, run: str) -> None:
            client.set_tag(run, "pavemap.model", card.model_id)
            client.log_text(run, text, "card.json")

        self._put(tell)

    def _missed(self, client: MlflowClient, run: str) -> None:
        """Tell what the run has reported before, as far as the server was not told then."""
        self._told = {point.step for point in client.get_metric_history(run, "loss")}
        self._points(client, run, last_reports(self._config).values(), _now_ms())

    def _points(
        self, client: MlflowClient, run: str, lines: Iterable[Mapping[str, Any]], moment: int
    ) -> None:
        new = [line for line in lines if int(line["iteration"]) not in self._told]
        at_once = MOST_METRICS // len(CURVES)
        for first in range(0, len(new), at_once):
            told = new[first : first + at_once]
            metrics = [metric for line in told for metric in _curve_metrics(line, moment)]
            client.log_batch(run, metrics=metrics)
            self._told.update(int(line["iteration"]) for line in told)

    def _settings(self, client: MlflowClient, run: str) -> None:
        from mlflow.entities import Param

        known = client.get_run(run).data.params  # of the part that this training goes on from
        told = list(_params(self._config))
        for name, text in told:
            if known.get(name, text) != text:
                client.set_tag(run, f"pavemap.later.{name}", text)
        params = [Param(name, text) for name, text in told if name not in known]
        for first in range(0, len(params), MOST_PARAMS):
            client.log_batch(run, params=params[first : first + MOST_PARAMS])

    def _put(self, report: Report) -> None:
        if self._uri:
            self._reports.put(report)

    def _send_all(self) -> None:
        client: MlflowClient | None = None
        run = ""
        while True:
            report = self._reports.get()
            if report is not None:
                self._unsent.append(report)
            try:
                if client is None:
                    client, run = self._open()
                while self._unsent:
                    self._send(self._unsent[0], client, run)
                    self._unsent.pop(0)
            except Exception as exc:  # whatever goes wrong there, the training must not
                if self._error is None:
                    log.warning(
                        "MLflow at %s does not take this run's reports (%s); the training goes on, "
                        "and they are tried again",
                        self._uri,
                        exc,
                    )
                self._error = exc
            if report is None:
                return

    def _send(self, report: Report, client: MlflowClient, run: str) -> None:
        """Tell one; what the server refuses for good is said and left, so that the rest is told."""
        from mlflow.exceptions import MlflowException

        try:
            report(client, run)
        except MlflowException as exc:
            if not _refused(exc):
                raise
            self._refused += 1
            log.warning("MLflow at %s refuses a report of this run: %s", self._uri, exc)

    def _open(self) -> tuple[MlflowClient, str]:
        """The client and the id of the run: the former one when this training goes on from it."""
        os.environ.setdefault(QUIET, "1")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self._uri)
        file = self._config.output / RUN_FILE
        if file.is_file():
            known = json.loads(file.read_text())
            ours = (known["uri"], known.get("name")) == (self._uri, self._config.name)
            if ours and _goes_on(client, known["run"]):
                return client, known["run"]
        found = client.get_experiment_by_name(self._config.mlflow_experiment)
        experiment = (
            found.experiment_id
            if found is not None
            else client.create_experiment(self._config.mlflow_experiment)
        )
        run = client.create_run(experiment, run_name=self._config.name).info.run_id
        file.write_text(json.dumps({"uri": self._uri, "run": run, "name": self._config.name}))
        return client, run


def _keep_secrets_from(uri: str | None) -> None:
    """Forget MLflow's user and password where a configuration names another server than they are for.

    A configuration may be anybody's; the environment is the operator's.
    """
    own = os.environ.get(VARIABLE)
    if not uri or not own or urlsplit(uri)[:2] == urlsplit(own)[:2]:
        return
    held = [name for name in SECRETS if os.environ.pop(name, None) is not None]
    if held:
        log.warning(
            "mlflow_uri is not the server of %s, so %s are not sent there",
            VARIABLE,
            " and ".join(held),
        )


def _curve_metrics(line: Mapping[str, Any], moment: int) -> list[Metric]:
    figures = {name: float(line[name]) for name in CURVES if name in line}
    return _metrics(figures, int(line["iteration"]), moment)


def _metrics(figures: Mapping[str, float], step: int, moment: int) -> list[Metric]:
    from mlflow.entities import Metric

    return [Metric(name, value, moment, step) for name, value in figures.items()]


def _now_ms() -> int:
    return int(time.time() * 1000)


def _refused(exc: Any) -> bool:
    """Whether an MlflowException says that the same will never be taken."""
    return exc.get_http_status_code() in REFUSED


def _goes_on(client: MlflowClient, run: str) -> bool:
    """Whether a run could be opened again: not where somebody has deleted it."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run, status="RUNNING")
    except MlflowException as exc:
        if not _refused(exc):
            raise
        return False
    return True


def _params(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """The settings by dotted names, as texts; nothing of where the server is."""
    values = config.model_dump(mode="json", exclude={"ray_address", "mlflow_uri", "output"})
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{key}", str(inner)) for key, inner in value.items())
        elif name in {"data", "validation", "tests"}:
            sources = getattr(config, name)
            yield name, ", ".join(source.label for source in sources)
        else:
            yield name, str(value)


def _scores(card: ModelCard) -> Iterator[tuple[str, float]]:
    yield "threshold", card.threshold
    if "validation_mean_f1" in card.metrics:
        yield "validation_mean_f1", float(card.metrics["validation_mean_f1"])
    for kind in ("validation", TESTS):
        for score in card.metrics.get(kind, []):
            for name in ("precision", "recall", "f1"):
                yield metric_name(f"{kind}/{score['data']}/{name}"), float(score["mean"][name])


def metric_name(text: str) -> str:
    """A name that MLflow takes: letters, digits and a few signs."""
    return re.sub(r"[^\w\-. :/]", "_", text, flags=re.ASCII)
