"""What an object of many GiB costs the server in memory, while it comes in parts and while it goes out in one piece."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from bench.endpoints import Endpoint
from bench.figures import Figure
from bench.load import PIECE, Request, read_answer, request

PART = 1 << 30
NAME = {"Bucket": "bench", "Key": "large"}


def measure(endpoint: Endpoint, gib: int) -> list[Figure]:
    """Puts and gets an object of so many GiB, one part after the other."""
    s3 = endpoint.client("s3")
    before = _resident_mib(endpoint.pid, "VmRSS")
    figures = [Figure("memory of the server before", before, "MiB")]
    for what, act in (("put", _put), ("get", _get)):
        Path(f"/proc/{endpoint.pid}/clear_refs").write_text("5")  # its peak is what it has now (proc_pid_clear_refs(5))
        began = time.perf_counter()
        act(s3, gib)
        rate = gib * 1024 / (time.perf_counter() - began)
        peak = _resident_mib(endpoint.pid, "VmHWM")
        note = f"{peak - before:.0f} MiB more than before; {rate:.0f} MiB/s"
        figures.append(Figure(f"most memory, {what} of {gib} GiB", peak, "MiB", "< 100", note))
    s3.delete_object(**NAME)
    return figures


def _resident_mib(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _put(s3: Any, gib: int) -> None:
    upload = {**NAME, "UploadId": s3.create_multipart_upload(**NAME)["UploadId"]}
    piece, room = os.urandom(PIECE), bytearray(PIECE)
    for number in range(1, gib + 1):
        url = s3.generate_presigned_url("upload_part", Params={**upload, "PartNumber": number})
        asked = request("PUT", url, PART)
        with _sent(asked) as connection:
            for _ in range(PART // PIECE):
                connection.sendall(piece)
            read_answer(connection, asked, room)
    parts = [{"PartNumber": one["PartNumber"], "ETag": one["ETag"]} for one in s3.list_parts(**upload)["Parts"]]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def _get(s3: Any, gib: int) -> None:
    asked = request("GET", s3.generate_presigned_url("get_object", Params=NAME))
    with _sent(asked) as connection:
        assert read_answer(connection, asked, bytearray(PIECE)) == gib * PART


def _sent(asked: Request) -> socket.socket:
    connection = socket.create_connection(asked.address, timeout=120)
    connection.sendall(asked.head)
    return connection
