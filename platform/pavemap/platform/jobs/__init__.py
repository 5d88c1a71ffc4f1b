"""Training as jobs on a cluster: submitted, followed, cancelled, and remembered."""

from pavemap.platform.jobs.job import OVER, JobBackend, JobReport, job_id
from pavemap.platform.jobs.kubernetes_jobs import KubernetesJobs
from pavemap.platform.jobs.ray_jobs import RayJobs
from pavemap.platform.jobs.training_jobs import TrainingJobs, backend_of

__all__ = [
    "OVER",
    "JobBackend",
    "JobReport",
    "KubernetesJobs",
    "RayJobs",
    "TrainingJobs",
    "backend_of",
    "job_id",
]
