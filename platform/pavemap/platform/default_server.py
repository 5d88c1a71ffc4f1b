"""Where the API listens, and where clients look for it, unless told otherwise."""

from __future__ import annotations

API_HOST, API_PORT = "127.0.0.1", 8000
DEFAULT_SERVER = f"http://{API_HOST}:{API_PORT}"
