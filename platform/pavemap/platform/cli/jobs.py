"""Training jobs on a server's cluster: `job list`, `show`, `log`, `metrics`, `cancel`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pavemap.platform.cli.console import Json, print_facts, print_json, print_table
from pavemap.platform.cli.remote import HERE, Server, connect

app = typer.Typer(help="Trainings that run on a server's cluster.", no_args_is_help=True)

JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of a training job, as `train --submit` says it.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Go on until the job is over.")]


@app.command("list")
def list_jobs(server: Server = HERE, as_json: Json = False) -> None:
    """List the training jobs, the newest first: those of clusters that are gone too."""
    with connect(server) as client:
        jobs = client.training_jobs()
    if as_json:
        print_json(jobs)
        return
    rows = [
        [job["id"], job["config"].get("name", ""), job["state"], job["submitted_at"] or "–"]
        for job in jobs
    ]
    print_table(["job", "name", "state", "submitted"], rows)


@app.command("show")
def show_job(job: JobId, server: Server = HERE, as_json: Json = False) -> None:
    """Tell the state of a training job; while its cluster is away, how it was last seen."""
    with connect(server) as client:
        found = client.training_job(job)
    if as_json:
        print_json(found)
    else:
        print_facts({name: str(found[name]) for name in ("id", "state", "message", "seen_at")})


@app.command("log")
def show_log(job: JobId, follow: Follow = False, server: Server = HERE) -> None:
    """Print what a training job has written."""
    with connect(server) as client:
        for text in client.training_log(job, follow=follow):
            typer.echo(text, nl=False)


@app.command("metrics")
def show_metrics(job: JobId, follow: Follow = False, server: Server = HERE) -> None:
    """Print what a training job has reported, a JSON object a line: iteration, loss, speed."""
    with connect(server) as client:
        for figures in client.training_metrics(job, follow=follow):
            typer.echo(json.dumps(figures))


@app.command("cancel")
def cancel_job(job: JobId, server: Server = HERE, as_json: Json = False) -> None:
    """Stop a training job; its checkpoints stay, and the same configuration goes on from them."""
    with connect(server) as client:
        found = client.cancel_training(job)
    if as_json:
        print_json(found)
    else:
        print_facts({name: str(found[name]) for name in ("id", "state", "message")})
