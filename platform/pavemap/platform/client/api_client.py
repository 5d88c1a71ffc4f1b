"""A client of the HTTP API: what it offers as methods, its answers as plain values."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from pavemap.geo.errors import BadInput, Conflict, NotFound, PavemapError, Unavailable
from pavemap.platform.client.server_connection import (
    PAGE,
    PATIENT,
    Json,
    ServerConnection,
    chunks,
    insistent,
)
from pavemap.platform.default_server import DEFAULT_SERVER

CHANGE_PAGE = 200
"""Segments whose cracks the server compares for one answer."""
PAUSE_PER_ANSWER = 10.0
"""How much longer than the server took to answer `wait` pauses, at least."""
PATIENCE_S = 300.0
"""How long `wait` bears a server that is away; the survey goes on without it."""


class Client:
    """The API of one server; answers are the documents that its /docs describe."""

    def __init__(
        self, server: str = DEFAULT_SERVER, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Take the server's URL; nothing is asked yet. Raises BadInput when it is none."""
        self._to = ServerConnection(server, transport=transport)

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._to.server

    def __enter__(self) -> Self:
        """Use as a context manager to close the connections."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._to.close()

    def models(self) -> list[Json]:
        """Return the model versions, the latest first."""
        return self._to.documents("/models")

    def add_model(self, archive: Path) -> Json:
        """Send a model's ZIP; the model twice is one."""
        with archive.open("rb") as file:
            return self._to.document("POST", "/models", content=file, timeout=PATIENT)

    def promote_model(self, model_id: str, *, force: bool = False) -> Json:
        """Make new surveys with a model version."""
        path = f"/models/{quote(model_id, safe='')}/promote"
        return self._to.document("POST", path, json={"force": force})

    def take_promotion_back(self) -> Json:
        """Give the place of the model version in use back to the one before it."""
        latest = self._to.document("GET", "/models/promotions/latest")
        of = {"of": latest["id"]}  # sent twice, by a proxy too, it is taken back once
        return insistent(
            lambda: self._to.document("DELETE", "/models/promotions/latest", params=of)
        )

    def import_network(
        self,
        path: Path,
        *,
        name: str,
        options: Mapping[str, Any],
        pavement: Path | None = None,
    ) -> Json:
        """Import a road network file; `options` are the API's, those that are None are left out.

        `pavement` is the file of the agency's pavement polygons, if it has one.
        """
        fields = {key: str(value) for key, value in options.items() if value is not None}
        with ExitStack() as opened:
            paths = {"file": path} | ({} if pavement is None else {"pavement": pavement})
            files = {
                part: (each.name, opened.enter_context(each.open("rb")))
                for part, each in paths.items()
            }
            return self._to.document(
                "POST",
                "/networks",
                data={"name": name, **fields},
                files=files,
                timeout=PATIENT,
            )

    def networks(self) -> list[Json]:
        """List the networks."""
        return self._to.documents("/networks")

    def network(self, id_or_name: str) -> Json:
        """Return a network by its id or name. Raises NotFound."""
        return self._to.document("GET", f"/networks/{quote(id_or_name, safe='')}")

    def delete_network(self, id_or_name: str) -> None:
        """Remove a network that no survey is of."""
        self._to.request("DELETE", f"/networks/{quote(id_or_name, safe='')}", timeout=PATIENT)

    def create_survey(self, values: Mapping[str, Any]) -> Json:
        """Make a survey; `values` are the API's, those that are None are left out."""
        given = {key: value for key, value in values.items() if value is not None}
        return self._to.document("POST", "/surveys", json=given)

    def surveys(self) -> list[Json]:
        """List the surveys, the latest first."""
        return self._to.documents("/surveys")

    def surveys_called(self, name: str) -> list[Json]:
        """Return the surveys of a name, the latest first."""
        return self._to.documents("/surveys", name=name)

    def find_survey(self, id_or_name: str) -> Json:
        """Return a survey by id, or by a name that only one survey has. BadInput, NotFound, Conflict."""
        if not id_or_name.strip():
            raise BadInput("the name of the survey is empty; give its id or its name")
        try:
            return self.survey(id_or_name)
        except NotFound:
            named = self.surveys_called(id_or_name)
        if len(named) > 1:
            raise Conflict(
                f"{len(named)} surveys are called '{id_or_name}'; give the id of one, the latest is "
                f"{named[0]['id']}"
            )
        if not named:
            raise NotFound(
                f"there is no survey '{id_or_name}'; `pavemap survey list` shows those there are"
            )
        return self.survey(named[0]["id"])

    def delete_survey(self, survey_id: str) -> None:
        """Remove a survey for good."""
        path = f"/surveys/{quote(survey_id, safe='')}"
        self._to.request("DELETE", path, timeout=PATIENT)

    def delete_orthophoto(self, survey_id: str, name: str) -> None:
        """Take a file out of a survey."""
        path = f"/surveys/{quote(survey_id, safe='')}/orthophotos/{quote(name, safe='')}"
        self._to.request("DELETE", path, timeout=PATIENT)

    def survey(self, survey_id: str) -> Json:
        """Return a survey with its progress."""
        return self._to.document("GET", f"/surveys/{quote(survey_id, safe='')}")

    def upload(
        self,
        survey_id: str,
        path: Path,
        *,
        name: str,
        sha256: str,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Json:
        """Send a file, again from the start when the connection breaks; `on_bytes` hears what went.

        The server refuses what does not arrive with this digest.
        """
        size = path.stat().st_size
        headers = {
            "Content-Type": "image/tiff",
            "Content-Length": str(size),
            "Content-SHA256": sha256,
        }
        url = f"/surveys/{survey_id}/orthophotos/{quote(name, safe='')}"

        def send() -> Json:
            if on_bytes is not None:
                on_bytes(0)
            body = chunks(path, on_bytes)
            return self._to.document("PUT", url, content=body, headers=headers, timeout=PATIENT)

        return insistent(send)

    def run(self, survey_id: str) -> Json:
        """Plan a survey's cells and set them to work."""
        return self._to.document("POST", f"/surveys/{survey_id}/run", timeout=PATIENT)

    def measure(self, survey_id: str, *, heed_reviews: bool) -> Json:
        """Have a survey's figures worked out as its reviews say, or as they were found."""
        wanted = {"heed_reviews": heed_reviews}
        return self._to.document(
            "POST", f"/surveys/{survey_id}/measure", json=wanted, timeout=PATIENT
        )

    def wait(
        self, survey_id: str, *, poll_s: float = 1.0, on_progress: Callable[[Json], None]
    ) -> Json:
        """Return a survey once it is done or failed; bears a server that is away for a while.

        Who takes long to answer, as of a survey of millions of cells, is asked less often.
        """
        away_since: float | None = None
        while True:
            asked, pause_s = time.monotonic(), poll_s
            try:
                survey = self.survey(survey_id)
            except Unavailable:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_S:
                    raise
            else:
                away_since = None
                on_progress(survey)
                if survey["state"] in {"done", "failed"}:
                    return survey
                pause_s = max(poll_s, PAUSE_PER_ANSWER * (time.monotonic() - asked))
            time.sleep(pause_s)

    def wait_for_all(self, survey_id: str, *, on_progress: Callable[[Json], None]) -> Json:
        """Return a survey once it is done. Raises PavemapError where it, or a cell of it, failed."""
        survey = self.wait(survey_id, on_progress=on_progress)
        if survey["state"] == "failed" or survey["cells"]["failed"]:
            why = survey["error"] or "; ".join(survey["cells"]["errors"])
            raise PavemapError(f"the survey failed: {why}")
        return survey

    def summary(self, survey_id: str) -> Json:
        """Return a survey's sums."""
        return self._to.document("GET", f"/surveys/{survey_id}/summary")

    def segments(
        self, survey_id: str, *, at_most: int | None = None, **query: Any
    ) -> Iterator[list[Json]]:
        """Yield pages of segments as GeoJSON features; `query` is the API's."""
        return self._to.pages(f"/surveys/{survey_id}/segments", query, at_most=at_most)

    def cracks(
        self, survey_id: str, *, at_most: int | None = None, **query: Any
    ) -> Iterator[list[Json]]:
        """Yield pages of cracks as GeoJSON features; `query` is the API's."""
        return self._to.pages(f"/surveys/{survey_id}/cracks", query, at_most=at_most)

    def reviews(
        self, survey_id: str, *, at_most: int | None = None, **query: Any
    ) -> Iterator[list[Json]]:
        """Yield pages of reviews as GeoJSON features; `query` is the API's."""
        return self._to.pages(f"/surveys/{survey_id}/reviews", query, at_most=at_most)

    def reviewed_areas(
        self, survey_id: str, *, at_most: int | None = None, **query: Any
    ) -> Iterator[list[Json]]:
        """Yield pages of the areas that were looked at whole as GeoJSON features."""
        return self._to.pages(f"/surveys/{survey_id}/reviewed-areas", query, at_most=at_most)

    def add_reviews(self, survey_id: str, features: Sequence[Json]) -> Json:
        """Send reviews as GeoJSON features, all or none; twice is once."""
        return self._send(f"/surveys/{survey_id}/reviews", features)

    def add_areas(self, survey_id: str, features: Sequence[Json]) -> Json:
        """Send areas that were looked at whole as GeoJSON features, all or none; twice is once."""
        return self._send(f"/surveys/{survey_id}/reviewed-areas", features)

    def delete_review(self, survey_id: str, review_id: int) -> None:
        """Take a review back."""
        self._to.request("DELETE", f"/surveys/{survey_id}/reviews/{review_id}")

    def delete_area(self, survey_id: str, area_id: int) -> None:
        """Take back that an area was looked at whole."""
        self._to.request("DELETE", f"/surveys/{survey_id}/reviewed-areas/{area_id}")

    def training_data(self, survey_id: str, target: Path, *, chip_px: int) -> None:
        """Write the ZIP of a survey's training data to a file."""
        self._to.save(f"/surveys/{survey_id}/training-data", target, chip_px=chip_px)

    def change(
        self,
        survey_id: str,
        *,
        layer: str = "segments",
        at_most: int | None = None,
        **query: Any,
    ) -> Iterator[list[Json]]:
        """Yield pages of what changed as GeoJSON features, of segments or of their cracks."""
        part = "/cracks" if layer == "cracks" else ""
        path = f"/surveys/{survey_id}/change{part}"
        return self._to.pages(path, query, at_most=at_most, page_size=CHANGE_PAGE)

    def change_summary(self, survey_id: str, **query: Any) -> Json:
        """Return what changed over a whole network."""
        known = {key: value for key, value in query.items() if value is not None}
        return self._to.document("GET", f"/surveys/{survey_id}/change/summary", params=known)

    def cells(self, survey_id: str, *, state: str) -> Iterator[list[Json]]:
        """Yield pages of a survey's cells in a state."""
        return self._listed(f"/surveys/{survey_id}/cells", "cells", state=state)

    def orthophotos(self, survey_id: str) -> Iterator[list[Json]]:
        """Yield pages of a survey's files, each once however many names stand for it."""
        return self._listed(f"/surveys/{survey_id}/orthophotos", "orthophotos")

    def submit_training(self, config: Mapping[str, Any]) -> Json:
        """Hand a training configuration to the server's cluster."""
        return self._to.document("POST", "/training-jobs", json=dict(config))

    def training_jobs(self) -> list[Json]:
        """Return all training jobs, the newest first."""
        return self._to.documents("/training-jobs")

    def training_job(self, job_id: str) -> Json:
        """Return a training job."""
        return self._to.document("GET", _job(job_id))

    def cancel_training(self, job_id: str) -> Json:
        """Stop a training job."""
        return self._to.document("DELETE", _job(job_id))

    def training_log(self, job_id: str, *, follow: bool = True) -> Iterator[str]:
        """Yield what a training job has written; with `follow`, what it writes until it is over."""
        return self._to.text(f"{_job(job_id)}/logs", follow=follow)

    def training_metrics(self, job_id: str, *, follow: bool = True) -> Iterator[Json]:
        """Yield what a training job has reported; with `follow`, what it reports until it is over."""
        if not follow:
            yield from self._to.documents(f"{_job(job_id)}/metrics")
            return
        rest = ""
        for text in self._to.text(f"{_job(job_id)}/metrics", follow=True):
            *lines, rest = (rest + text).split("\n")
            yield from map(json.loads, lines)

    def _listed(self, path: str, member: str, **query: str) -> Iterator[list[Json]]:
        return self._to.paged(path, {**query, "limit": PAGE}, member=member)

    def _send(self, path: str, features: Sequence[Json]) -> Json:
        sent = {"type": "FeatureCollection", "features": list(features)}
        return insistent(lambda: self._to.document("POST", path, json=sent))


def _job(job_id: str) -> str:
    return f"/training-jobs/{quote(job_id, safe='')}"
