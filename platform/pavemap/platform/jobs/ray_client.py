"""Ray's own client of its Jobs API, which waits for ever, with an end to its waiting."""

from __future__ import annotations

from typing import Any

from ray.job_submission import JobSubmissionClient

CONNECT_S, REPLY_S = 5.0, 60.0
"""How long a dashboard may take to accept a request, and then to answer: a job's log may be long."""


class RayClient(JobSubmissionClient):
    """Raises requests.Timeout, an OSError, where a dashboard accepts a request and answers nothing."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        options.setdefault("timeout", (CONNECT_S, REPLY_S))
        return super()._do_request(method, endpoint, **options)
