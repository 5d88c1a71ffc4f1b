"""A bucket service for one test: the few S3 calls that storage and GDAL make, in a process of its own.

Of its own, because GDAL holds Python's lock during some of its calls, and would wait for itself.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

FAULT = "/fault"
"""What is stored there says how GET of a .tif fails: cut, denied, dropped; spoilt: the next one alone."""


def set_fault(address: str, fault: str) -> None:
    """Let a bucket service fail in one of these ways from now on; as it should with an empty one."""
    request = urllib.request.Request(address + FAULT, data=fault.encode(), method="PUT")
    urllib.request.urlopen(request).close()


class Handler(BaseHTTPRequestHandler):
    """Objects in memory by path; `/full/...` is a bucket without room, `/gone/...` none."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}
    parts: ClassVar[dict[str, dict[int, bytes]]] = {}

    def do_PUT(self) -> None:
        path, query, body = self._request()
        if path.startswith("/full/"):
            self._answer(507, b"<Error><Code>XMinioStorageFull</Code></Error>")
        elif path.startswith("/gone/"):
            self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif "uploadId" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = body
            self._answer(200, etag=query["partNumber"])
        else:
            self.objects[path] = body
            self._answer(200, etag="whole")

    def do_POST(self) -> None:
        path, query, body = self._request()
        if "delete" in query:
            for key in re.findall(rb"<Key>(.*?)</Key>", body):
                self.objects.pop(f"{path.rstrip('/')}/{key.decode()}", None)
            self._answer(200, b"<DeleteResult><Deleted><Key>k</Key></Deleted></DeleteResult>")
        elif "uploadId" in query:
            parts = self.parts.pop(query["uploadId"])
            self.objects[path] = b"".join(parts[number] for number in sorted(parts))
            self._answer(
                200,
                b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
            )
        else:
            self.parts["u1"] = {}
            self._answer(
                200,
                b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
            )

    def do_GET(self) -> None:
        path, _, _ = self._request()
        whole = self.objects.get(path)
        if whole is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        fault = self._fault(path)
        if fault == "denied":
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if fault == "dropped":
            self.connection.close()
            self.close_connection = True
            return
        if fault == "spoilt":
            whole = bytes(len(whole))
            self.objects[FAULT] = b""
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or len(whole)), len(whole) - 1)
            span = f"bytes {first}-{last}/{len(whole)}"
            self._answer(206, whole[first : last + 1], span=span, cut=fault == "cut")
        else:
            self._answer(200, whole, cut=fault == "cut")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.objects.pop(self._request()[0], None)
        self._answer(204)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep quiet."""

    def _request(self) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, True).items()}
        return parts.path, query, self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _fault(self, path: str) -> str:
        concerned = self.command == "GET" and path.endswith(".tif")
        return self.objects.get(FAULT, b"").decode() if concerned else ""

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        etag: str = "e",
        span: str = "",
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 17:00:00 GMT")
        self.send_header("Accept-Ranges", "bytes")
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()
