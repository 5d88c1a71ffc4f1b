"""Training jobs over HTTP: hand a configuration to the Ray cluster, follow it, cancel it."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from pavemap.platform.api.bodies import DocumentRoute
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.training import TrainingJobOut
from pavemap.platform.api.services import ServicesOf
from pavemap.training.config import TrainConfig

router = APIRouter(prefix="/training-jobs", tags=["training"], route_class=DocumentRoute)

JobId = Annotated[
    str, Path(description="id of a training job", examples=["train-3f1c5b7a9d2e4f60"])
]

Follow = Annotated[
    bool, Query(description="stay, and send what comes as it comes, until the job is over")
]

EXAMPLES = {
    "paper": {
        "summary": "The paper's network on one data set",
        "value": {
            "name": "old-town",
            "output": "/data/models/old-town",
            "data": [{"folder": "/data/labels/old-town", "list": "train"}],
            "validation": [{"folder": "/data/labels/old-town", "list": "test"}],
            "iterations": 30000,
        },
    }
}


@router.post(
    "",
    status_code=201,
    response_model=TrainingJobOut,
    responses={
        200: {"model": TrainingJobOut, "description": "This configuration was submitted before."},
        201: {"headers": LOCATION},
        **answers(400, 408, 409, 413, 415),
    },
    summary="Train a model",
)
def submit_job(
    config: Annotated[TrainConfig, Body(openapi_examples=EXAMPLES)],
    request: Request,
    response: Response,
    services: ServicesOf,
) -> TrainingJobOut:
    """Check a configuration and hand it to the cluster; folders are those of the cluster's machines.

    The same configuration is one job, however often it is sent; sent again after it failed or was
    cancelled, it goes on from its last checkpoint.
    """
    _check_folders(config)
    job, started = services.jobs.submit(config)
    response.status_code = 201 if started else 200
    if started:
        response.headers["Location"] = location(request, "get_job", job_id=job.id)
    return TrainingJobOut.of(job)


def _check_folders(config: TrainConfig) -> None:
    """Raise RequestValidationError for relative folders: nobody means those of this server's process."""
    folders: dict[tuple[str | int, ...], FilePath] = {("output",): config.output}
    for kind in ("data", "validation", "tests"):
        for number, source in enumerate(getattr(config, kind)):
            folders[kind, number, "folder"] = source.folder
    wrong = [where for where, folder in folders.items() if not folder.is_absolute()]
    if wrong:
        said = "give the whole path, from / on, that the cluster's machines know it by"
        raise RequestValidationError(
            [{"type": "value_error", "loc": ("body", *where), "msg": said} for where in wrong]
        )


@router.get("", responses=answers(), summary="List the training jobs")
def list_jobs(services: ServicesOf) -> list[TrainingJobOut]:
    """List all training jobs, the newest first: those of clusters that are gone too."""
    return [TrainingJobOut.of(job) for job in services.jobs.list()]


@router.get("/{job_id}", responses=answers(404), summary="State of a training job")
def get_job(job_id: JobId, services: ServicesOf) -> TrainingJobOut:
    """Tell the state of a training job; while its cluster is away, the state it was last seen in."""
    return TrainingJobOut.of(services.jobs.get(job_id))


@router.get(
    "/{job_id}/logs",
    response_class=PlainTextResponse,
    responses=answers(404),
    summary="Logs of a training job",
)
async def get_logs(job_id: JobId, services: ServicesOf, follow: Follow = False) -> Response:
    """Return what a job has written so far; with `follow`, all it writes, until it is over.

    A stream that ends because the cluster went away says so in its last line.
    """
    if not follow:
        return PlainTextResponse(await run_in_threadpool(services.jobs.logs, job_id))
    await run_in_threadpool(services.jobs.check_followed, job_id)
    return StreamingResponse(services.jobs.follow(job_id), media_type="text/plain")


@router.get(
    "/{job_id}/metrics",
    responses={
        200: {
            "description": "Iteration, loss and speed as the job reports them.",
            "content": {"application/x-ndjson": {}},
        },
        **answers(404),
    },
    summary="Metrics of a training job",
)
async def get_metrics(job_id: JobId, services: ServicesOf, follow: Follow = False) -> Response:
    """Return what a job has reported so far, as JSON; with `follow`, a JSON object a line as they come."""
    if not follow:
        return JSONResponse(await run_in_threadpool(services.jobs.metrics, job_id))
    await run_in_threadpool(services.jobs.check_followed, job_id)
    lines = (json.dumps(figures) + "\n" async for figures in services.jobs.follow_metrics(job_id))
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.delete("/{job_id}", responses=answers(404, 409), summary="Cancel a training job")
def cancel_job(job_id: JobId, services: ServicesOf) -> TrainingJobOut:
    """Stop a training job that is not over; its checkpoints stay."""
    return TrainingJobOut.of(services.jobs.cancel(job_id))
