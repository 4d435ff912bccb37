"""Ceph's C library librados (librados.h): its functions, and a connection to one pool."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import threading
import time
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_long, c_size_t, c_uint8, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from cumulet.lib.errors import Failure
from cumulet.lib.rbd import Room

_FILE = "librados.so.2"
_M_MMAP_THRESHOLD = -3
_CONNECT_SECONDS = 15
_OPERATION_SECONDS = 45
"""Longer than Ceph needs to see that an OSD is gone, and to go on without it (`osd_heartbeat_grace`, 20 s), and shorter
than clients of S3 wait for an answer (60 s)."""
_AGAIN_SECONDS = 5.0
"""So long nobody tries again to connect after it has failed: all who wait would, one after the other."""
_SETTINGS = {
    "client_mount_timeout": _CONNECT_SECONDS,
    "rados_mon_op_timeout": _CONNECT_SECONDS,
    "rados_osd_op_timeout": _OPERATION_SECONDS,
}
_TAKES: dict[str, tuple[Any, ...]] = {
    "create2": (POINTER(c_void_p), c_char_p, c_char_p, c_uint64),
    "conf_read_file": (c_void_p, c_char_p),
    "conf_set": (c_void_p, c_char_p, c_char_p),
    "connect": (c_void_p,),
    "shutdown": (c_void_p,),
    "cluster_fsid": (c_void_p, c_char_p, c_size_t),
    "mon_command": (
        *(c_void_p, POINTER(c_char_p), c_size_t, c_char_p, c_size_t),
        *(POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p), POINTER(c_size_t)),
    ),
    "buffer_free": (c_void_p,),
    "ioctx_create": (c_void_p, c_char_p, POINTER(c_void_p)),
    "ioctx_set_namespace": (c_void_p, c_char_p),
    "ioctx_get_id": (c_void_p,),
    "getxattr": (c_void_p, c_char_p, c_char_p, c_char_p, c_size_t),
    "read": (c_void_p, c_char_p, c_char_p, c_size_t, c_uint64),
    "aio_getxattr": (c_void_p, c_char_p, c_void_p, c_char_p, c_char_p, c_size_t),
    "aio_stat": (c_void_p, c_char_p, c_void_p, POINTER(c_uint64), POINTER(c_long)),
    "nobjects_list_open": (c_void_p, POINTER(c_void_p)),
    "nobjects_list_next": (c_void_p, POINTER(c_char_p), c_void_p, c_void_p),
    "nobjects_list_close": (c_void_p,),
    "create_write_op": (),
    "release_write_op": (c_void_p,),
    "write_op_create": (c_void_p, c_int, c_char_p),
    "write_op_assert_exists": (c_void_p,),
    "write_op_cmpxattr": (c_void_p, c_char_p, c_uint8, c_char_p, c_size_t),
    "write_op_setxattr": (c_void_p, c_char_p, c_char_p, c_size_t),
    "write_op_write_full": (c_void_p, c_void_p, c_size_t),
    "write_op_remove": (c_void_p,),
    "aio_write_op_operate": (c_void_p, c_void_p, c_void_p, c_char_p, c_void_p, c_int),
    "aio_create_completion2": (c_void_p, c_void_p, POINTER(c_void_p)),
    "aio_wait_for_complete": (c_void_p,),
    "aio_get_return_value": (c_void_p,),
    "aio_release": (c_void_p,),
}
"""By name, without `rados_`; a `time_t` is a long."""
_GIVES: dict[str, Any] = {"create_write_op": c_void_p, "ioctx_get_id": c_int64}


class Refused(Failure):
    """Ceph has answered with this error; `ENOENT`: there is no such object."""

    def __init__(self, act: str, number: int) -> None:
        super().__init__(f"{act}: {os.strerror(number)}")
        self.errno = number


@cache
def library() -> ctypes.CDLL:
    """Its functions; a call lets other threads run. Raises `Failure` where it is not installed."""
    try:
        loaded = ctypes.CDLL(_FILE)
    except OSError as e:
        raise Failure(f"{_FILE} is not installed: apt-get install librados2") from e
    for name, takes in _TAKES.items():
        function = getattr(loaded, f"rados_{name}")
        function.argtypes, function.restype = takes, _GIVES.get(name, c_int)
    _give_back_large_pieces()
    return loaded


def _give_back_large_pieces() -> None:
    """What is freed of a MiB and more is the system's again (mallopt(3)).

    By itself glibc raises that limit to the size of what was freed, and with it keeps many pieces for each thread.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


class Pool:
    """A pool, as the client `user` sees it; without a `keyring` its key is where Ceph looks for it.

    It is connected when it is first needed, and anew when Ceph has shut this client out.
    """

    def __init__(self, name: str, user: str, settings: Path, keyring: Path | None = None) -> None:
        self.name = name
        self.user = user
        self.settings = settings
        self.keyring = keyring
        self._lock = threading.Lock()
        self._cluster: c_void_p | None = None
        self._contexts: dict[str, c_void_p] = {}
        self._failed: tuple[float, Failure] | None = None

    def io(self, namespace: str) -> c_void_p:
        """The handle of a namespace; raises `Failure` where Ceph or the pool is not reached, or there is no pool."""
        with self._lock:
            cluster = self._connected()
            if namespace not in self._contexts:
                made = c_void_p()
                done = library().rados_ioctx_create(cluster, self.name.encode(), byref(made))
                if done == -errno.ENOENT:
                    raise Failure(f"there is no pool {self.name} in Ceph: `ceph osd pool create {self.name}` makes it")
                self._said(done, f"opening the pool {self.name}")
                library().rados_ioctx_set_namespace(made, namespace.encode())
                self._contexts[namespace] = made
            return self._contexts[namespace]

    def checked(self, done: int, act: str) -> int:
        """What a function has given; raises `Refused` where that is an error."""
        if done == -errno.ESHUTDOWN:
            with self._lock:
                self._cluster, self._contexts = None, {}  # others may still use it, so it is not ended
        return self._said(done, act)

    def room(self) -> Room:
        """Bytes that can be kept, each as often as the pool keeps it, and how many of them are free."""
        pools = json.loads(self._ask({"prefix": "df", "format": "json"}))["pools"]
        found = next((one["stats"] for one in pools if one["name"] == self.name), None)
        if found is None:
            self.io("")
            raise Failure(f"Ceph does not say yet what room there is in the pool {self.name}")
        return Room(found["stored"] + found["max_avail"], found["max_avail"])

    def _ask(self, question: dict[str, str]) -> bytes:
        """What the monitors answer."""
        words = (c_char_p * 1)(json.dumps(question).encode())
        said, length, why, why_length = c_void_p(), c_size_t(), c_void_p(), c_size_t()
        with self._lock:
            cluster = self._connected()
        done = library().rados_mon_command(
            cluster, words, 1, None, 0, byref(said), byref(length), byref(why), byref(why_length)
        )
        answer = ctypes.string_at(said, length.value) if said else b""
        for one in (said, why):
            library().rados_buffer_free(one)
        self.checked(done, f"asking Ceph as client.{self.user} for {question['prefix']}")
        return answer

    def _connected(self) -> c_void_p:
        if self._cluster is not None:
            return self._cluster
        if self._failed is not None and time.monotonic() < self._failed[0] + _AGAIN_SECONDS:
            raise Failure(str(self._failed[1]))
        try:
            self._cluster = self._connect()
        except Failure as e:
            self._failed = time.monotonic(), e
            raise
        return self._cluster

    def _connect(self) -> c_void_p:
        made = c_void_p()
        who = f"client.{self.user}"
        self._said(library().rados_create2(byref(made), b"ceph", who.encode(), 0), "beginning with Ceph")
        try:
            read = library().rados_conf_read_file(made, os.fsencode(self.settings))
            self._said(read, f"reading {self.settings}")
            keyring = {"keyring": self.keyring} if self.keyring else {}
            for key, value in {**_SETTINGS, **keyring}.items():
                self._said(library().rados_conf_set(made, key.encode(), str(value).encode()), f"setting {key}")
            self._said(library().rados_connect(made), f"connecting to Ceph as {who} by {self.settings}")
        except Failure:
            library().rados_shutdown(made)
            raise
        return made

    @staticmethod
    def _said(done: int, act: str) -> int:
        if done < 0:
            raise Refused(act, -done)
        return done
