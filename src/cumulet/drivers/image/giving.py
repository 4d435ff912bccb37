"""Image files for other hosts: by HTTPS, to whoever has a link that this process has given out within the hour."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import shutil
import ssl
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from cumulet.drivers.places import image_files
from cumulet.lib import self_signed
from cumulet.lib.errors import Failure
from cumulet.lib.image_link import IMAGE_PORT, ImageLink
from cumulet.lib.log import Log

log = Log("giving")
LINK_SECONDS = 3600.0
_QUIET_SECONDS = 30.0
_CHUNK = 1 << 20
NAMES = ("disk", "kernel", "initrd")


class Giving:
    """Those below `directory`, at `address`; without one nobody gets any. `identity` is the file of its certificate."""

    def __init__(self, directory: Path, identity: Path, address: str, port: int = IMAGE_PORT) -> None:
        self._directory = directory
        self._identity = identity
        self._address, self._port = address, port
        self._secret = secrets.token_bytes(32)
        self._opening = threading.Lock()
        self._server: _Server | None = None

    def link(self, id: str) -> ImageLink:
        """To the files of an image file; raises `Failure` where it is not here, or other hosts do not come here."""
        if not self._address:
            raise Failure(f"giving {id}: the setting tunnel_address is empty: other hosts do not reach this one")
        files = image_files(self._directory, id)
        sizes = {name: files[name].stat().st_size for name in NAMES if files[name].exists()}
        if not sizes:
            raise Failure(f"image file {id} is not in {self._directory}")
        return ImageLink(
            address=f"{self._address}:{self._serve()}",
            certificate=self_signed.have(self._identity),
            token=self._token(id, int(time.monotonic() + LINK_SECONDS)),
            files=sizes,
        )

    def stop(self) -> None:
        """Give nothing any more."""
        with self._opening:
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
                self._server = None

    def opens(self, token: str, id: str) -> bool:
        """Whether the token is of a link to this image file, and not too old."""
        until = token.partition(".")[0]
        is_ours = hmac.compare_digest(token.encode(), self._token(id, int(until) if until.isdecimal() else 0).encode())
        return is_ours and time.monotonic() < int(until)

    def _token(self, id: str, until: int) -> str:
        return f"{until}.{hmac.digest(self._secret, f'{id} {until}'.encode(), 'sha256').hex()}"

    def _serve(self) -> int:
        """The port, listened on from now on."""
        with self._opening:
            if self._server is None:
                certificate = self_signed.have(self._identity)
                assert certificate
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.minimum_version = ssl.TLSVersion.TLSv1_3
                context.load_cert_chain(self._identity)
                try:
                    self._server = _Server((self._address, self._port), context, self._directory, self)
                except OSError as e:
                    raise Failure(f"listening on {self._address}:{self._port} for image files") from e
                threading.Thread(target=self._server.serve_forever, name="giving", daemon=True).start()
            return int(self._server.server_address[1])


class _Server(ThreadingTCPServer):
    """Not the one of `http.server`: that asks the name server for its own address before it serves."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, place: tuple[str, int], context: ssl.SSLContext, directory: Path, giving: Giving) -> None:
        super().__init__(place, _Handler)
        self.context, self.directory, self.giving = context, directory, giving

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the thread of the request: whoever is slow to shake hands keeps nobody else waiting."""
        request.settimeout(_QUIET_SECONDS)
        with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """`/ID/NAME`, from the byte that `Range: bytes=N-` names on."""
        id, _, name = self.path.removeprefix("/").partition("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if name not in NAMES or not self.server.giving.opens(token, id):
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        try:
            with image_files(self.server.directory, id)[name].open("rb") as file:
                self._send(file)
        except FileNotFoundError:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _send(self, file: Any) -> None:
        size = os.fstat(file.fileno()).st_size
        start = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        at = min(int(start), size) if start.isdecimal() else 0
        self.send_response(HTTPStatus.PARTIAL_CONTENT if at else HTTPStatus.OK)
        self.send_header("Content-Length", str(size - at))
        self.end_headers()
        file.seek(at)
        shutil.copyfileobj(file, self.wfile, _CHUNK)

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("asked", by=self.client_address[0], what=format % args)
