"""Training as Ray Jobs: submits a configuration to a running cluster, follows it, cancels it.

Ray is imported on first use only, so that a process that serves uploads and queries carries none of it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx

from pavemap.geo.errors import Conflict, NotFound
from pavemap.platform.errors import ClusterAway
from pavemap.platform.settings import Settings
from pavemap.serving.ray_home import TOKEN_FILE
from pavemap.training.config import TrainConfig

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

log = logging.getLogger(__name__)

PREFIX = "train-"
ANSWER_S = 5.0
"""How long a cluster may take to say its version before it counts as away."""

RESUBMIT_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Before each try: Ray keeps the name of a job that ended for some moments."""

OVER = frozenset({"succeeded", "failed", "stopped"})


@dataclass(frozen=True)
class TrainingJob:
    """A training job as the cluster knows it; `state` is pending, running, or one of OVER."""

    id: str
    state: str
    message: str
    config: dict[str, Any]
    submitted_at: datetime | None
    finished_at: datetime | None


def job_id(config: TrainConfig) -> str:
    """Return the id of a configuration's job: the same configuration has the same id, always."""
    return PREFIX + hashlib.sha256(_canonical(_joining(config)).encode()).hexdigest()[:16]


class TrainingJobs:
    """The training jobs of the cluster whose dashboard is at `url`."""

    def __init__(self, url: str, *, token_file: Path | None = None) -> None:
        """Take the URL of Ray's dashboard, such as http://127.0.0.1:8265; nothing is asked yet.

        `token_file` holds the token that the cluster asks for, if it does; it is read when needed.
        """
        self.url = url.rstrip("/")
        self.token_file = token_file

    @classmethod
    def configured(cls, settings: Settings) -> Self:
        """Return the jobs of the cluster that the settings, or else Ray's own variables, name."""
        own = os.environ.get("RAY_AUTH_TOKEN_PATH")
        fallback = Path(own) if own else settings.ray_folder / TOKEN_FILE
        return cls(settings.ray_jobs_url, token_file=settings.ray_token_file or fallback)

    def submit(self, config: TrainConfig) -> tuple[TrainingJob, bool]:
        """Hand a configuration to the cluster; return its job and whether it was started just now.

        A configuration whose job is waiting, running or has succeeded is not started again; one
        that failed or was stopped is, and goes on from its last checkpoint. Raises ClusterAway.
        """
        config = _joining(config)
        name = job_id(config)
        client = self._client()
        refusal = RuntimeError("it gave no reason")
        with self._reached():
            for pause_s in RESUBMIT_PAUSES_S:
                time.sleep(pause_s)
                known = self._find(client, name)
                if known is not None and known.state not in {"failed", "stopped"}:
                    return known, False
                if known is not None:
                    client.delete_job(name)
                try:
                    client.submit_job(
                        entrypoint=self._entrypoint(config),
                        submission_id=name,
                        metadata={"pavemap": "training", "config": _canonical(config)},
                    )
                except RuntimeError as exc:
                    # Somebody else submitted the same, or Ray has not let go of the job that failed.
                    refusal = exc
                    continue
                log.info("submitted training job %s", name)
                return self._get(client, name), True
            raise ClusterAway(
                f"Ray at {self.url} refused the job: {_first_line(refusal)}"
            ) from refusal

    def get(self, name: str) -> TrainingJob:
        """Return a job. Raises NotFound or ClusterAway."""
        client = self._client()
        with self._reached():
            return self._get(client, name)

    def list(self) -> list[TrainingJob]:
        """Return all training jobs the cluster remembers, the newest first."""
        client = self._client()
        with self._reached():
            jobs = [_job(details) for details in client.list_jobs() if _is_ours(details)]
        start = datetime.min.replace(tzinfo=UTC)
        return sorted(jobs, key=lambda job: job.submitted_at or start, reverse=True)

    def cancel(self, name: str) -> TrainingJob:
        """Stop a job that is not over yet. Raises NotFound, Conflict when it is over."""
        client = self._client()
        with self._reached():
            job = self._get(client, name)
            if job.state in OVER:
                raise Conflict(f"training job {name} has {job.state}; there is nothing to cancel")
            client.stop_job(name)
            return self._get(client, name)

    def logs(self, name: str) -> str:
        """Return what a job has written so far."""
        client = self._client()
        with self._reached():
            self._get(client, name)
            text: str = client.get_job_logs(name)
            return text

    async def follow(self, name: str) -> AsyncIterator[str]:
        """Yield what a job writes, from its start until it is over.

        When the cluster goes away meanwhile the last line says so; the job's fate is then asked
        with `get` once the cluster is back.
        """
        from anyio import to_thread

        client = await to_thread.run_sync(self._client)
        try:
            async for text in client.tail_job_logs(name):
                yield text
        except (RuntimeError, OSError) as exc:  # aiohttp's connection errors are OSErrors
            log.warning("lost the logs of %s: %s", name, exc)
            yield f"\n[pavemap] {_away(self.url)}\n"

    def _client(self) -> JobSubmissionClient:
        headers = self._headers()
        try:
            answer = httpx.get(f"{self.url}/api/version", headers=headers, timeout=ANSWER_S)
            if answer.status_code in {401, 403}:
                raise ClusterAway(
                    f"Ray at {self.url} wants another token; name the file that holds its token in "
                    "PAVEMAP_RAY_TOKEN_FILE"
                )
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ClusterAway(_away(self.url)) from exc
        try:
            from ray.job_submission import JobSubmissionClient
        except ImportError as exc:
            raise ClusterAway(
                "Ray is not installed beside the API; pip install 'ray[default]'"
            ) from exc
        # Ray lets RAY_ADDRESS overrule the address given here; this, by Ray's own rule, overrules both.
        os.environ["RAY_API_SERVER_ADDRESS"] = self.url
        with self._reached():
            return JobSubmissionClient(self.url, headers=headers)

    def _headers(self) -> dict[str, str]:
        token = os.environ.get("RAY_AUTH_TOKEN", "")
        if not token and self.token_file is not None and self.token_file.is_file():
            token = self.token_file.read_text().strip()
        return {"Authorization": f"Bearer {token}"} if token else {}

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Translate the loss of the cluster in the middle of a call."""
        try:
            yield
        except OSError as exc:  # requests' and urllib3's errors derive from it
            raise ClusterAway(_away(self.url)) from exc

    def _find(self, client: JobSubmissionClient, name: str) -> TrainingJob | None:
        try:
            return _job(client.get_job_info(name))
        except RuntimeError as exc:
            if "404" in str(exc):
                return None
            raise ClusterAway(
                f"Ray at {self.url} can't tell of {name}: {_first_line(exc)}"
            ) from exc

    def _get(self, client: JobSubmissionClient, name: str) -> TrainingJob:
        job = self._find(client, name) if name.startswith(PREFIX) else None
        if job is None:
            raise NotFound(
                f"the cluster knows no training job {name}; a cluster that was replaced forgets its "
                "jobs: submit the configuration again and it goes on from its last checkpoint"
            )
        return job

    def _entrypoint(self, config: TrainConfig) -> str:
        """Return the shell command; on this machine's own cluster it runs in this environment."""
        python = sys.executable if _is_loopback(self.url) else "python"
        return shlex.join(
            [python, "-m", "pavemap.training.run", "--config-json", _canonical(config)]
        )


def _joining(config: TrainConfig) -> TrainConfig:
    """Let the run join the cluster that runs the job; without an address it would start its own."""
    return config.model_copy(update={"ray_address": "auto"})


def _canonical(config: TrainConfig) -> str:
    return json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def _job(details: Any) -> TrainingJob:
    config = json.loads((details.metadata or {}).get("config", "{}"))
    return TrainingJob(
        id=details.submission_id,
        state=details.status.value.lower(),
        message=details.message or "",
        config=config,
        submitted_at=_moment(details.start_time),
        finished_at=_moment(details.end_time),
    )


def _is_ours(details: Any) -> bool:
    return (details.submission_id or "").startswith(PREFIX)


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _away(url: str) -> str:
    return (
        f"no Ray cluster answers at {url}; start one (pavemap up, or ray start --head) or set "
        "PAVEMAP_RAY_JOBS_URL, then try again: the same configuration is never started twice"
    )
