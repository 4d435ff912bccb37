"""A metadata service for one guest, IMDSv2 only: `python metadata_server.py DIRECTORY` serves the files of DIRECTORY.

A file's name is the path with `=` for `/`. It stands in for the agent's, so that the tiny image can be tried alone.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_TOKEN = "a-token"
_ROOT = Path(sys.argv[1])


class _Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:  # noqa: N802
        self._answer(200 if "X-aws-ec2-metadata-token-ttl-seconds" in self.headers else 400, _TOKEN.encode())

    def do_GET(self) -> None:  # noqa: N802
        file = _ROOT / self.path.strip("/").replace("/", "=")
        if self.headers.get("X-aws-ec2-metadata-token") != _TOKEN:
            self._answer(401, b"")
        elif file.is_file():
            self._answer(200, file.read_bytes())
        else:
            self._answer(404, b"not found")

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("169.254.169.254", 80), _Handler).serve_forever()
