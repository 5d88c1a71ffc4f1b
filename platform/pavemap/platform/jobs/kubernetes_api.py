"""The few calls of the Kubernetes API that training jobs need, as the service account of this pod.

Plain HTTP: the official client brings thirty megabytes for six calls. What they need of RBAC, in one
namespace: create, get, list, delete on rayjobs.ray.io; get, list on pods; get on pods/log.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from pavemap.platform.errors import ClusterAway
from pavemap.platform.settings import Settings

ANSWER_S = 10.0

RAYJOBS = "/apis/ray.io/v1/namespaces/{namespace}/rayjobs"
PODS = "/api/v1/namespaces/{namespace}/pods"


@dataclass(frozen=True)
class KubernetesApi:
    """One namespace of one cluster; token and authority are read anew for every call, as they rotate."""

    url: str
    namespace: str
    account: Path
    """Folder with the service account's `token` and `ca.crt`, as Kubernetes mounts it."""

    @classmethod
    def configured(cls, settings: Settings) -> Self:
        """Return the API of the cluster this pod runs in, or the one the settings name."""
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        host = f"[{host}]" if ":" in host else host
        account = settings.kubernetes_account
        own = account / "namespace"
        mounted = own.read_text().strip() if own.is_file() else "default"
        return cls(
            url=(settings.kubernetes_url or f"https://{host}:{port}").rstrip("/"),
            namespace=settings.kubernetes_namespace or mounted,
            account=account,
        )

    def create_rayjob(self, rayjob: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create an object and return it; None when one of its name is there."""
        answer = self._call("POST", self._path(RAYJOBS), json=dict(rayjob))
        if answer.status_code == 409:
            return None
        return self._json(answer)

    def get_rayjob(self, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        answer = self._call("GET", self._path(RAYJOBS, name))
        return None if answer.status_code == 404 else self._json(answer)

    def list_rayjobs(self, label: str) -> list[dict[str, Any]]:
        """Return the objects that carry a label."""
        answer = self._call("GET", self._path(RAYJOBS), params={"labelSelector": label})
        items: list[dict[str, Any]] = self._json(answer).get("items") or []
        return items

    def delete_rayjob(self, name: str, *, uid: str) -> None:
        """Delete an object with all it owns, if it is still the one of this uid."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        answer = self._call("DELETE", self._path(RAYJOBS, name), json=options)
        if answer.status_code not in {404, 409}:
            self._json(answer)

    def list_pods(self, selector: str) -> list[dict[str, Any]]:
        """Return the pods of a label selector, the newest last."""
        answer = self._call("GET", self._path(PODS), params={"labelSelector": selector})
        items: list[dict[str, Any]] = self._json(answer).get("items") or []
        return sorted(items, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    def pod_log(self, pod: str, *, container: str) -> str | None:
        """Return what a container has written; None while it has not started."""
        path = self._path(PODS, pod) + "/log"
        answer = self._call("GET", path, params={"container": container})
        if answer.status_code in {400, 404}:
            return None
        self._check(answer)
        return answer.text

    async def follow_pod_log(self, pod: str, *, container: str) -> AsyncIterator[bytes]:
        """Yield what a container writes, from its start until it ends or the connection is closed."""
        path = self._path(PODS, pod) + "/log"
        query = {"container": container, "follow": "true"}
        limits = httpx.Timeout(ANSWER_S, read=None)
        with self._reached():
            async with (
                httpx.AsyncClient(verify=self._trust(), timeout=limits) as client,
                client.stream(
                    "GET", self.url + path, params=query, headers=self._headers()
                ) as answer,
            ):
                if answer.status_code in {400, 404}:
                    return
                if answer.is_error:
                    await answer.aread()
                self._check(answer)
                async for part in answer.aiter_bytes():
                    yield part

    def _path(self, template: str, name: str = "") -> str:
        path = template.format(namespace=self.namespace)
        return f"{path}/{name}" if name else path

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._reached(), httpx.Client(verify=self._trust(), timeout=ANSWER_S) as client:
            return client.request(method, self.url + path, headers=self._headers(), **options)

    def _headers(self) -> dict[str, str]:
        token = self.account / "token"
        return {"Authorization": f"Bearer {token.read_text().strip()}"} if token.is_file() else {}

    def _trust(self) -> ssl.SSLContext:
        authority = self.account / "ca.crt"
        return ssl.create_default_context(cafile=str(authority) if authority.is_file() else None)

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        self._check(answer)
        found: dict[str, Any] = answer.json()
        return found

    def _check(self, answer: httpx.Response) -> None:
        """Raise ClusterAway, with what to do, for an answer that is an error."""
        if answer.is_success:
            return
        said = _said(answer)
        if answer.status_code in {401, 403}:
            raise ClusterAway(
                f"Kubernetes refuses this pod's service account ({said}); give it a Role with create, "
                "get, list, delete on rayjobs.ray.io, get, list on pods, and get on pods/log"
            )
        if answer.status_code == 404:
            raise ClusterAway(f"this Kubernetes knows no RayJob ({said}); install KubeRay 1.7")
        if answer.status_code in {400, 422}:
            raise ClusterAway(
                f"Kubernetes does not take the RayJob ({said}); mend the template that "
                "PAVEMAP_RAYJOB_TEMPLATE names"
            )
        raise ClusterAway(f"Kubernetes at {self.url} failed ({said}); try again in a moment")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Translate that nobody answers."""
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise ClusterAway(
                f"the Kubernetes API does not answer at {self.url} ({type(exc).__name__}); the job "
                "itself goes on, try again in a moment"
            ) from exc


def _said(answer: httpx.Response) -> str:
    """Return the message of Kubernetes' Status document, or the HTTP status."""
    try:
        return str(answer.json()["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
