"""Training jobs as RayJobs: KubeRay starts a cluster for each, and takes it away when it ends."""

from __future__ import annotations

import codecs
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import anyio
from anyio import to_thread

from pavemap.geo.errors import BadInput
from pavemap.platform.errors import ClusterAway
from pavemap.platform.jobs.job import OVER, TO_BE_STARTED_AGAIN, JobReport, job_id
from pavemap.platform.jobs.kubernetes_api import KubernetesApi
from pavemap.platform.jobs.rayjob import LABEL, make_rayjob, read_template, report_of
from pavemap.platform.settings import Settings
from pavemap.training.config import TrainConfig

log = logging.getLogger(__name__)

RESUBMIT_PAUSES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each try: an object that is deleted stays until its cluster is gone."""

LOG_PAUSE_S = 2.0
"""Between two looks for a pod that has not started yet."""

SUBMITTER = "ray-job-submitter"
"""The container that follows the driver's output (KubeRay's K8sJobMode, its default)."""


class KubernetesJobs:
    """The training jobs of one namespace; each is a RayJob of the job's own id."""

    kind = "kubernetes"

    def __init__(self, api: KubernetesApi, *, template: Path) -> None:
        """Take the API and the file of the RayJob template; it is read whenever a job is started."""
        self._api = api
        self._template = template

    @classmethod
    def configured(cls, settings: Settings) -> Self:
        """Return the jobs as the settings have it. Raises BadInput when no template is named."""
        if settings.rayjob_template is None:
            raise BadInput(
                "PAVEMAP_JOB_BACKEND=kubernetes needs PAVEMAP_RAYJOB_TEMPLATE: the YAML file of a "
                "RayJob with image, resources and volumes for training"
            )
        return cls(KubernetesApi.configured(settings), template=settings.rayjob_template)

    def start(self, config: TrainConfig) -> tuple[JobReport, bool]:
        """Create the RayJob, unless it is there and has not failed; a failed one makes room for it."""
        wanted = make_rayjob(read_template(self._template), config)
        name = job_id(config)
        for pause_s in RESUBMIT_PAUSES_S:
            time.sleep(pause_s)
            known = self._api.get_rayjob(name)
            if known is None:
                made = self._api.create_rayjob(wanted)
                if made is not None:
                    return report_of(made), True
                continue  # somebody else was quicker; look what there is
            if report_of(known).state not in TO_BE_STARTED_AGAIN:
                return report_of(known), False
            self._api.delete_rayjob(name, uid=known["metadata"]["uid"])
        raise ClusterAway(f"the former RayJob {name} is still being removed; try again in a minute")

    def find(self, job_id: str) -> JobReport | None:
        """Return a job, or None."""
        found = self._api.get_rayjob(job_id)
        return None if found is None else report_of(found)

    def all(self) -> list[JobReport]:
        """Return all training jobs of the namespace."""
        return [report_of(found) for found in self._api.list_rayjobs(f"{LABEL}=true")]

    def stop(self, job_id: str) -> JobReport | None:
        """Delete the RayJob, and with it its cluster; checkpoints lie in shared storage and stay."""
        found = self._api.get_rayjob(job_id)
        if found is None:
            return None
        self._api.delete_rayjob(job_id, uid=found["metadata"]["uid"])
        found["metadata"].setdefault("deletionTimestamp", "now")
        return report_of(found)

    def logs(self, job_id: str) -> str | None:
        """Return what a job has written, as long as its pod is kept; empty before it starts."""
        place = self._pod(job_id)
        if place is None:
            return None if self.find(job_id) is None else ""
        pod, container = place
        return self._api.pod_log(pod, container=container) or ""

    async def follow(self, job_id: str) -> AsyncIterator[str]:
        """Yield what a job writes until it is over. Raises ClusterAway, in the middle too.

        Kubernetes ends such streams now and then; the log is then asked for anew, and what was
        passed on already is left out.
        """
        passed: dict[str, int] = {}
        letters = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            place = await to_thread.run_sync(self._pod, job_id)
            report = await to_thread.run_sync(self.find, job_id)
            if place is not None:
                pod, container = place
                skipped = passed.get(pod, 0)
                seen = 0
                async for part in self._api.follow_pod_log(pod, container=container):
                    new = part[max(0, skipped - seen) :]
                    seen += len(part)
                    if text := letters.decode(new):
                        yield text
                passed[pod] = max(seen, skipped)
            # Asked before the log was read to its end, so nothing it wrote is missed.
            if report is None or report.state in OVER:
                return
            await anyio.sleep(LOG_PAUSE_S)

    def _pod(self, job_id: str) -> tuple[str, str] | None:
        """Return the newest pod that submitted the job, and the container to listen to."""
        pods = self._api.list_pods(f"job-name={job_id}")
        if not pods:
            return None
        containers: list[dict[str, Any]] = pods[-1]["spec"]["containers"]
        names = [str(each["name"]) for each in containers]
        return str(pods[-1]["metadata"]["name"]), SUBMITTER if SUBMITTER in names else names[0]
