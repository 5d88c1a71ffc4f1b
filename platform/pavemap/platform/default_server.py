"""Where the API listens and clients look for it, unless told otherwise, and the path it is under."""

from __future__ import annotations

API_HOST, API_PORT = "127.0.0.1", 8000
DEFAULT_SERVER = f"http://{API_HOST}:{API_PORT}"

API_PREFIX = "/api/v1"
