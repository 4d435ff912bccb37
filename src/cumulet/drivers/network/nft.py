"""nftables: text in the syntax of `nft`, one atomic transaction to a call, in the namespace of the calling thread.

Through libnftables where it is installed (a fifth of a millisecond), and through the command `nft` elsewhere. In
the host's own namespace it is always the command: there the rules of others are, and the library ends the process
that it is in when it meets something that it cannot read.
"""

from __future__ import annotations

import ctypes
import re
import threading
from functools import cache

from cumulet.drivers.network.kernel import Kernel, attributes
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

_NETLINK_NETFILTER = 12
_GETGEN, _GENERATION_ID = 0x0A10, 1
_CHAIN = re.compile(r"chain (\S+) \{")
_SET = re.compile(r"set (\S+) \{")
_lock = threading.Lock()  # the library keeps some of its state in globals


def apply(text: str) -> None:
    """Make all of `text` so, or, with one error in it, none; raises `Failure` with what nft said."""
    said = attempt(text)
    if said is not None:
        raise Failure(f"nft refused a change: {said}")


def attempt(text: str) -> str | None:
    """As `apply`, but gives what nft said instead of raising it; None: done."""
    status, _, error = _execute(text)
    return (error.strip() or f"status {status}") if status else None


def listing(what: str) -> str | None:
    """The text that `nft list WHAT`, or another question, gives; None where there is no such thing."""
    status, output, error = _execute(what)
    if status and "No such file or directory" not in error:
        raise Failure(f"nft {what}: {error.strip()}")
    return None if status else output


def chains() -> set[str]:
    """The names of all chains."""
    return set(_CHAIN.findall(listing("list chains inet") or ""))


def sets() -> set[str]:
    """The names of all sets."""
    return set(_SET.findall(listing("list sets inet") or ""))


def generation() -> int:
    """A number that is another one after each change of the namespace's rules, whoever made it."""
    with Kernel(_NETLINK_NETFILTER) as kernel:
        answer = kernel.ask(_GETGEN, bytes(4))
    return int.from_bytes(dict(attributes(answer[4:]))[_GENERATION_ID], "big")


def apply_by_command(text: str) -> None:
    """As `apply`, always through the command."""
    run(["nft", "-f", "-"], stdin=text)


def _execute(text: str) -> tuple[int, str, str]:
    library = _library()
    if library is None:
        done = run(["nft", "-f", "-"], stdin=text, check=False)
        return done.returncode, done.stdout, done.stderr
    with _lock:
        context = library.nft_ctx_new(0)
        if not context:
            raise Failure("libnftables has no memory or no netlink socket for a context")
        try:
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            status = library.nft_run_cmd_from_buffer(context, text.encode())
            output = library.nft_ctx_get_output_buffer(context).decode()
            return status, output, library.nft_ctx_get_error_buffer(context).decode()
        finally:
            library.nft_ctx_free(context)


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    return library
