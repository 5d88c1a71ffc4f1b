"""Training jobs on a running Ray cluster, by the Ray Jobs API of its dashboard.

Ray is imported on first use only, so that a process that serves uploads and queries carries none of it.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx
from anyio import to_thread

from pavemap.platform.errors import ClusterAway
from pavemap.platform.jobs.job import (
    JOB_ID,
    TO_BE_STARTED_AGAIN,
    JobReport,
    canonical,
    first_line,
    job_id,
    joining,
)
from pavemap.platform.settings import Settings
from pavemap.serving.listening import is_loopback
from pavemap.serving.ray_home import TOKEN_FILE
from pavemap.training.config import TrainConfig

if TYPE_CHECKING:
    from pavemap.platform.jobs.ray_client import RayClient

log = logging.getLogger(__name__)

ANSWER_S = 5.0
"""How long a cluster may take to say its version before it counts as away."""

CALLS_AT_ONCE = 8
"""Threads that may wait for a cluster: one that hangs must leave the API's others free."""

RESUBMIT_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Before each try: Ray keeps the name of a job that ended for some moments."""


class RayJobs:
    """The training jobs of the cluster whose dashboard is at `url`."""

    kind = "ray"

    def __init__(self, url: str, *, token_file: Path | None = None) -> None:
        """Take the URL of Ray's dashboard, such as http://127.0.0.1:8265; nothing is asked yet.

        `token_file` holds the token that the cluster asks for, if it does; it is read when needed.
        """
        self.url = url.rstrip("/")
        self.token_file = token_file
        self._turns = threading.BoundedSemaphore(CALLS_AT_ONCE)

    @classmethod
    def configured(cls, settings: Settings) -> Self:
        """Return the jobs of the cluster that the settings, or else Ray's own variables, name."""
        own = os.environ.get("RAY_AUTH_TOKEN_PATH")
        fallback = Path(own) if own else settings.ray_folder / TOKEN_FILE
        return cls(settings.ray_jobs_url, token_file=settings.ray_token_file or fallback)

    def start(self, config: TrainConfig) -> tuple[JobReport, bool]:
        """Hand a configuration to the cluster, unless it is there and has not failed."""
        config = joining(config)
        name = job_id(config)
        refusal = RuntimeError("it gave no reason")
        with self._connected() as client:
            for pause_s in RESUBMIT_PAUSES_S:
                time.sleep(pause_s)
                known = self._find(client, name)
                if known is not None and known.state not in TO_BE_STARTED_AGAIN:
                    return known, False
                try:
                    if known is not None:
                        client.delete_job(name)
                    client.submit_job(
                        entrypoint=self._entrypoint(config),
                        submission_id=name,
                        metadata={"pavemap": "training", "config": canonical(config)},
                    )
                except RuntimeError as exc:
                    # Somebody else submitted the same, or Ray has not let go of the job that failed.
                    refusal = exc
                    continue
                found = self._find(client, name)
                if found is not None:
                    return found, True
        raise ClusterAway(f"Ray at {self.url} refused the job: {first_line(refusal)}") from refusal

    def find(self, job_id: str) -> JobReport | None:
        """Return a job, or None."""
        with self._connected() as client:
            return self._find(client, job_id)

    def all(self) -> list[JobReport]:
        """Return all training jobs the cluster remembers."""
        with self._connected() as client:
            return [_report(details) for details in client.list_jobs() if _is_ours(details)]

    def stop(self, job_id: str) -> JobReport | None:
        """Ask a job to stop; it may be running for some moments yet."""
        with self._connected() as client:
            if self._find(client, job_id) is None:
                return None
            client.stop_job(job_id)
            return self._find(client, job_id)

    def logs(self, job_id: str) -> str | None:
        """Return what a job has written so far."""
        with self._connected() as client:
            if self._find(client, job_id) is None:
                return None
            text: str = client.get_job_logs(job_id)
            return text

    async def follow(self, job_id: str) -> AsyncIterator[str]:
        """Yield what a job writes until it is over. Raises ClusterAway, in the middle too."""
        client = await to_thread.run_sync(self._client)
        from aiohttp import ClientError  # comes with Ray's client

        try:
            async for text in client.tail_job_logs(job_id):
                yield text
        except (RuntimeError, OSError, ClientError) as exc:
            raise ClusterAway(_away(self.url)) from exc

    @contextmanager
    def _connected(self) -> Iterator[RayClient]:
        """Lend a client, to a few callers at a time. Raises ClusterAway."""
        if not self._turns.acquire(blocking=False):
            raise ClusterAway(
                f"Ray at {self.url} is slow, and {CALLS_AT_ONCE} requests wait for it already; "
                "try again in a moment"
            )
        try:
            client = self._client()
            with self._reached():
                yield client
        finally:
            self._turns.release()

    def _client(self) -> RayClient:
        headers = self._headers()
        try:
            answer = httpx.get(
                f"{self.url}/api/version",
                headers=headers,
                timeout=ANSWER_S,
                trust_env=not _is_here(self.url),  # no proxy's own machine is meant
            )
            if answer.status_code in {401, 403}:
                raise ClusterAway(
                    f"Ray at {self.url} wants another token; name the file that holds its token in "
                    "PAVEMAP_RAY_TOKEN_FILE"
                )
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ClusterAway(_away(self.url)) from exc
        try:
            from pavemap.platform.jobs.ray_client import RayClient
        except ImportError as exc:
            raise ClusterAway(
                "Ray is not installed beside the API; pip install 'ray[default]', or set "
                "PAVEMAP_JOB_BACKEND=kubernetes where KubeRay runs the jobs"
            ) from exc
        # Ray lets RAY_ADDRESS overrule the address given here; this, by Ray's own rule, overrules both.
        os.environ["RAY_API_SERVER_ADDRESS"] = self.url
        with self._reached():
            return RayClient(self.url, headers=headers)

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
        except (
            RuntimeError
        ) as exc:  # whatever status Ray answers with, as where an agent of it is away
            raise ClusterAway(f"Ray at {self.url} can't do that now: {first_line(exc)}") from exc

    def _find(self, client: RayClient, name: str) -> JobReport | None:
        try:
            return _report(client.get_job_info(name))
        except RuntimeError as exc:
            if "status code 404" in str(exc):
                return None
            raise ClusterAway(f"Ray at {self.url} can't tell of {name}: {first_line(exc)}") from exc

    def _entrypoint(self, config: TrainConfig) -> str:
        """Return the shell command; on this machine's own cluster it runs in this environment.

        The finished model is scored beside the one in use, and ends as a model version.
        """
        python = sys.executable if _is_here(self.url) else "python"
        words = [python, "-m", "pavemap.training.run", "--register"]
        return shlex.join([*words, "--config-json", canonical(config)])


def _report(details: Any) -> JobReport:
    return JobReport(
        id=details.submission_id,
        state=details.status.value.lower(),
        message=details.message or "",
        config=json.loads((details.metadata or {}).get("config", "{}")),
        submitted_at=_moment(details.start_time),
        finished_at=_moment(details.end_time),
    )


def _is_ours(details: Any) -> bool:
    """Others may run jobs on the same cluster, whatever they call them."""
    marked = (details.metadata or {}).get("pavemap") == "training"
    return marked and JOB_ID.fullmatch(details.submission_id or "") is not None


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _is_here(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _away(url: str) -> str:
    return (
        f"no Ray cluster answers at {url}; start one (pavemap up, or ray start --head) or set "
        "PAVEMAP_RAY_JOBS_URL, then try again: the same configuration is never started twice"
    )
