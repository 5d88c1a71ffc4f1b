"""The HTTP side of serving: one chip in, its probability map out."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from pavemap.geo.errors import BadInput
from pavemap.serving.args import ServingArgs
from pavemap.serving.chips import ChipTooLarge, decode_chip, encode_probability

BODY_BYTES_PER_PX = 4
"""Four bands of a byte, not compressed; what is larger is no chip."""
HEADER_BYTES = 1 << 20


class Ingress:
    """Serve deployment in front of the Detector; large uploads never come this way."""

    def __init__(
        self,
        args: ServingArgs,
        detector: DeploymentHandle[Any],
        surveyor: DeploymentHandle[Any] | None,
        limit: int,
    ) -> None:
        """Take the Detector's handle, and how many chips may be on their way to it.

        The Surveyor's handle is held to make it part of the application.
        """
        self._args = args
        self._detector: Any = detector
        self._surveyor = surveyor
        self._limit = limit
        self._in_flight = 0
        self._model_id = ""

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the routes; Serve calls this once the replica is made."""
        most = BODY_BYTES_PER_PX * self._args.max_chip_px + HEADER_BYTES
        api = FastAPI(title="pavemap detector", docs_url=None, redoc_url=None, max_body_size=most)
        api.add_api_route("/healthz", self.health, methods=["GET"])
        api.add_api_route("/detect", self.detect, methods=["POST"])
        return api

    async def health(self) -> dict[str, str]:
        """Say that a Detector answers, and with which model version.

        Detectors that have more chips than they take are well: then the version is the last known.
        """
        try:
            self._model_id = await self._detector.model_id.remote()
        except BackPressureError:
            if not self._model_id:
                raise
        return {"status": "ok", "model_id": self._model_id}

    async def detect(self, request: Request) -> Response:
        """Take a PNG, TIFF or .npy chip, return its probability map as an 8-bit grey PNG.

        Over the limit it is refused (429) before its body is unpacked, which bounds the memory.
        """
        if self._in_flight >= self._limit:
            return self._busy()
        self._in_flight += 1
        try:
            return await self._detect(await request.body())
        finally:
            self._in_flight -= 1

    async def _detect(self, body: bytes) -> Response:
        try:
            chip = await asyncio.to_thread(decode_chip, body, max_px=self._args.max_chip_px)
            probability = await self._detector.detect.remote(chip)
        except ChipTooLarge as exc:
            return _problem(413, "chip too large", str(exc))
        except BadInput as exc:
            return _problem(422, "chip not understood", str(getattr(exc, "cause", exc)))
        except BackPressureError:
            return self._busy()
        except RayTaskError as exc:
            return _problem(500, "the Detector failed at this chip", str(exc.cause))
        return Response(
            await asyncio.to_thread(encode_probability, probability), media_type="image/png"
        )

    def _busy(self) -> Response:
        wait_s = str(self._args.retry_after_s)
        return _problem(
            429, "all Detectors are busy", f"send it again in {wait_s} s", {"Retry-After": wait_s}
        )


def make_ingress() -> type:
    """Return the class as Serve wants it: its routes are made where it runs."""
    made: type = serve.ingress()(Ingress)
    return made


def _problem(
    status: int, title: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return RFC 9457 problem details."""
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )
