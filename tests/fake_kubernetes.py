"""The part of a Kubernetes API that training jobs use, over real HTTP; a test plays KubeRay."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAMESPACE = "roads"
RAYJOBS = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@dataclass
class FakeKubernetes:
    """Objects in memory. `token` is what callers must show, `check` sees each object that is created."""

    token: str = "first"
    url: str = ""
    rayjobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    """What the pods of a job have written, by the job's name; such a pod exists."""
    cut_after: int | None = None
    """Ends the next followed log after so many bytes, as an API server that restarts does."""
    on_log_read: Callable[[str], None] = lambda _: None
    check: Callable[[dict[str, Any]], None] = lambda _: None
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    count: int = 0

    def set_status(self, name: str, **status: Any) -> None:
        """Play the operator."""
        self.rayjobs[name]["status"] = status

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            self.check(body)
        except Exception as exc:
            return 422, _status(f"RayJob is invalid: {exc}")
        name = body["metadata"]["name"]
        with self.lock:
            if name in self.rayjobs:
                return 409, _status(f'rayjobs.ray.io "{name}" already exists')
            self.count += 1
            body["metadata"] |= {
                "uid": f"uid-{self.count}",
                "namespace": NAMESPACE,
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            self.rayjobs[name] = body
            return 201, body

    def delete(self, name: str, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            found = self.rayjobs.get(name)
            if found is None:
                return 404, _status("not found")
            if options["preconditions"]["uid"] != found["metadata"]["uid"]:
                return 409, _status("the UID in the precondition does not match")
            del self.rayjobs[name]
            return 200, found

    def pods(self, selector: str) -> dict[str, Any]:
        key, _, name = selector.partition("=")
        assert key == "job-name"
        found = [
            {
                "metadata": {"name": f"{job}-x7k2p", "creationTimestamp": "2026-05-04T11:00:00Z"},
                "spec": {"containers": [{"name": "proxy"}, {"name": "ray-job-submitter"}]},
            }
            for job in self.logs
            if job == name
        ]
        return {"items": found}


@contextmanager
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    """Serve one on a free port."""
    world = FakeKubernetes()

    class Handler(_Handler):
        kubernetes = world

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        world.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield world
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kubernetes: FakeKubernetes

    def do_POST(self) -> None:
        path, _, body = self._request()
        if path == RAYJOBS:
            self._answer(*self.kubernetes.create(body))
        elif path:
            self._answer(404, _status("the server could not find the requested resource"))

    def do_DELETE(self) -> None:
        path, _, body = self._request()
        if path.startswith(f"{RAYJOBS}/"):
            self._answer(*self.kubernetes.delete(path.removeprefix(f"{RAYJOBS}/"), body))

    def do_GET(self) -> None:
        path, query, _ = self._request()
        if path == RAYJOBS:
            key, _, value = query["labelSelector"].partition("=")
            jobs = self.kubernetes.rayjobs.values()
            listed = [job for job in jobs if job["metadata"]["labels"].get(key) == value]
            self._answer(200, {"items": listed})
        elif path.startswith(f"{RAYJOBS}/"):
            found = self.kubernetes.rayjobs.get(path.removeprefix(f"{RAYJOBS}/"))
            self._answer(200 if found else 404, found or _status("not found"))
        elif path == PODS:
            self._answer(200, self.kubernetes.pods(query["labelSelector"]))
        elif path.endswith("/log"):
            assert query["container"] == "ray-job-submitter"
            name = path.split("/")[-2].removesuffix("-x7k2p")
            text = self.kubernetes.logs[name]
            if query.get("follow") and self.kubernetes.cut_after is not None:
                text, self.kubernetes.cut_after = text[: self.kubernetes.cut_after], None
            self.kubernetes.on_log_read(name)
            self._send(200, text, kind="text/plain")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep quiet."""

    def _request(self) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return path, query and body; an empty path when the caller was sent away."""
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.kubernetes.requests.append(f"{self.command} {parts.path}")
        if self.headers.get("Authorization") != f"Bearer {self.kubernetes.token}":
            self._answer(403, _status('User "system:serviceaccount:roads:pavemap" cannot do this'))
            return "", query, {}
        return parts.path, query, json.loads(text or b"{}")

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), kind="application/json")

    def _send(self, status: int, body: bytes, *, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _status(message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}
