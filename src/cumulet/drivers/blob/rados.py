"""Blobs in a pool of Ceph, which all hosts share: it keeps the copies, and makes them anew.

In three namespaces of the pool:

cumulet/ID              the beginning of a blob, up to 2 MiB, and its state
cumulet.pieces/ID.N     what follows, each piece as long, N from 1
cumulet.quarantine/…    what was not as it should be, by the same names

The state is `writing`, `whole SIZE PIECE`, or `going SIZE PIECE`. A beginning is there before any other piece and until
all of them are gone: what any death leaves is found. A blob of one piece is there, or not, by one operation.
The object `cumulet` in no namespace names the cloud whose pool it is: a sweep removes all that its tables do not name.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, NoReturn

from cumulet.lib import crash
from cumulet.lib.blobs import BlobReader, BlobSeen, BlobWriter, Health, Missing, NoSpace, measured
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.lib.librados import Pool, Refused
from cumulet.lib.log import Log
from cumulet.lib.rados import Pending, Space, succeeded

log = Log("blobs")
BLOBS, PIECES, QUARANTINE = "cumulet", "cumulet.pieces", "cumulet.quarantine"
OWNER = "cumulet"
PIECE = 2 << 20
AT_ONCE = 2
"""Pieces of a blob that are under way to Ceph together, each up to `PIECE` in memory."""
BATCH = 16
TOGETHER = 64
"""Blobs of one piece that are removed at once."""
LINGER_SECONDS = 3600.0
TOUCH_SECONDS = 600.0
"""How often a writer that goes on says so; far below the age at which a sweep removes what nobody writes to."""
WRITING = b"writing"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def pool_of(config: Config) -> Pool:
    """The pool that the settings name."""
    keyring = Path(config.rbd_keyring) if config.rbd_keyring else None
    return Pool(config.object_pool, config.rbd_user, Path(config.rbd_conf), keyring)


def space_of(config: Config) -> Callable[[str], Space]:
    """Its namespaces."""
    return partial(Space, pool_of(config))


class State(NamedTuple):
    """What is known of a blob: `size` is -1 while it is being written, and of what was removed then."""

    word: str
    size: int = -1
    piece: int = 0

    def __bytes__(self) -> bytes:
        return f"{self.word} {self.size} {self.piece}".encode() if self.size >= 0 else self.word.encode()

    @staticmethod
    def of(text: bytes) -> State:
        word, *numbers = text.decode().split()
        return State(word, *map(int, numbers))

    @property
    def is_short(self) -> bool:
        """Whether the beginning is all that there is."""
        return self.size >= 0 and self.pieces == 0

    @property
    def pieces(self) -> int:
        """How many there are behind the beginning."""
        return max(0, (self.size - 1) // self.piece)


class RadosBlobs:
    """`space` gives the pool's namespaces, `cloud` this cloud's id; new blobs are cut into pieces of `piece` bytes."""

    linger = LINGER_SECONDS

    def __init__(self, space: Callable[[str], Space], cloud: Callable[[], str], piece: int = PIECE) -> None:
        self._owner, self._blobs = space(""), space(BLOBS)
        self._pieces, self._quarantine = space(PIECES), space(QUARANTINE)
        self._cloud = cloud
        self._is_ours = False
        self._piece = piece

    def create(self, id: str) -> BlobWriter:
        self._claim()
        return _Writer(self, self._blobs, self._pieces, id, self._piece)

    def open(self, id: str) -> BlobReader:
        self._claim()
        text = self._blobs.state(id)
        state = State.of(text) if text else None
        if state is None or state.word != "whole":
            raise Missing(id)
        return _Reader(self._blobs, self._pieces, id, state)

    def remove(self, *ids: str) -> None:
        """Those of one piece go many at once."""
        self._claim()
        for start in range(0, len(ids), TOGETHER):
            some = ids[start : start + TOGETHER]
            crash.point("blob.remove.before")
            short = [id for id, text in self._blobs.states(some).items() if text and State.of(text).is_short]
            self._blobs.remove(short)
            for id in {*some} - {*short}:
                self._remove(id)
            crash.point("blob.remove.after")

    def _remove(self, id: str) -> None:
        """The beginning goes last: by it what is cut short here is found, and done by anybody."""
        state = self._going(id)
        last = self._end(id) if state is None or state.size < 0 else state.pieces
        while last > 0:
            first = (last - 1) // BATCH * BATCH + 1
            self._pieces.remove(_piece(id, number) for number in range(first, last + 1))
            crash.point("blob.remove.pieces")
            last = first - 1
        self._blobs.remove([id])

    def _going(self, id: str) -> State | None:
        """From now on nobody reads it, or goes on writing it; None: there is no beginning of it."""
        while text := self._blobs.state(id):
            state = State.of(text)
            if state.word == "going" or state.is_short:
                return state
            try:
                self._blobs.change(id, text, bytes(state._replace(word="going")))
            except Refused as e:
                if e.errno in _FULL:  # so full that only removing is possible
                    return state
                if e.errno not in (errno.ENOENT, errno.ECANCELED):  # nobody has changed it meanwhile
                    raise
        return None

    def _end(self, id: str) -> int:
        """The number of the last piece that may be there.

        Fewer than a batch are missing before one that is there: writers have two under way, and removers one batch.
        """
        last = 0
        while self._pieces.modified(_piece(id, last + number) for number in range(1, BATCH + 1)):
            last += BATCH
        return last

    def observe(self) -> Iterator[BlobSeen]:
        self._claim()
        names = self._blobs.names()
        while some := list(islice(names, BATCH)):
            yield from [BlobSeen(id, modified) for id, modified in self._blobs.modified(some).items()]

    def check(self, id: str, size: int, crc: int) -> Health:
        """Ceph repairs by itself what one disk has spoilt or lost: nothing is `repaired` here."""
        try:
            reader = self.open(id)
        except Missing:
            return "lost"
        try:
            found = measured(reader)
        except Missing:
            found = (-1, -1)
        except Refused as e:
            if e.errno != errno.EIO:
                raise
            log.error("a blob cannot be read from any disk", blob=id, error=e)
            return "lost"
        if found == (size, crc):
            return "good"
        log.error("a blob is not as it was written", blob=id)
        try:
            self._set_aside(id)
        except Failure as e:
            log.error("a blob could not be put into quarantine", blob=id, error=e)
        return "lost"

    def _set_aside(self, id: str) -> None:
        state = self._blobs.state(id)
        if state is None or State.of(state).word != "whole":
            return  # it was removed meanwhile
        known = State.of(state)
        for number in range(1, known.pieces + 1):
            with contextlib.suppress(Missing):
                name = _piece(id, number)
                self._quarantine.put(name, _read(self._pieces, name, 0, known.piece)).wait()
        self._quarantine.put(id, _read(self._blobs, id, 0, known.piece), state).wait()
        self.remove(id)

    def _claim(self) -> None:
        """The pool is this cloud's, whoever comes first; raises `Failure` where it is another's."""
        if self._is_ours:
            return
        mine = self._cloud()
        if self._owner.state(OWNER) is None:
            succeeded(self._owner.put(OWNER, mine.encode(), new=True), unless=errno.EEXIST)
        whose = self._owner.read(OWNER, 0, len(mine) + 1).decode(errors="replace")
        if whose != mine:
            raise Failure(
                f"the setting object_pool names a pool with the objects of another cloud ({whose}, this is {mine}): "
                f"name another one; or, if those are this cloud's now, remove the object {OWNER} there (`rados rm`)"
            )
        self._is_ours = True


class _Writer:
    """One blob that is being written. Nothing of it is in the pool before it is longer than a piece."""

    def __init__(self, store: RadosBlobs, blobs: Space, pieces: Space, id: str, piece: int) -> None:
        self._store = store
        self._blobs = blobs
        self._pieces = pieces
        self._id = id
        self._piece = piece
        self._buffer = bytearray()
        self._size = 0
        self._sent = 0
        self._pending: deque[Pending] = deque()
        self._touched = time.monotonic()
        self._done = False

    def write(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            if len(self._buffer) == self._piece:
                self._send()
            taken = view[: self._piece - len(self._buffer)]
            self._buffer += taken
            self._size += len(taken)
            view = view[len(taken) :]
        if self._sent and time.monotonic() >= self._touched + TOUCH_SECONDS:
            self._touched = time.monotonic()
            self._change(WRITING)

    def commit(self) -> None:
        crash.point("blob.commit.before")
        whole = State("whole", self._size, self._piece)
        if not self._sent:
            self._begin(bytes(whole))
        else:
            self._send()
            while self._pending:
                self._wait()
            crash.point("blob.commit.sent")
            self._change(bytes(whole))
        self._done = True
        crash.point("blob.commit.after")

    def abort(self) -> None:
        while self._pending:
            with contextlib.suppress(Refused):
                self._pending.popleft().wait()
        if self._done or not self._sent:
            return
        self._done = True
        try:
            self._store.remove(self._id)
        except Failure as e:
            log.warning("what was written of a blob could not be removed; it will be swept", blob=self._id, error=e)

    def _send(self) -> None:
        """What is gathered is under way; the beginning is there before any other piece is."""
        if not self._sent:
            self._begin(WRITING)
            return
        if len(self._pending) == AT_ONCE:
            self._wait()
        self._guarded(lambda: self._pending.append(self._pieces.put(_piece(self._id, self._sent), self._buffer)))
        self._sent += 1
        self._buffer = bytearray()
        crash.point("blob.write.after")

    def _begin(self, state: bytes) -> None:
        self._sent = 1
        self._guarded(lambda: self._blobs.put(self._id, self._buffer, state, new=True).wait())
        self._buffer = bytearray()
        crash.point("blob.create.after")

    def _wait(self) -> None:
        self._guarded(self._pending.popleft().wait)

    def _change(self, state: bytes) -> None:
        """Not where somebody has begun to remove it, as it seemed to be given up."""
        self._guarded(lambda: self._blobs.change(self._id, WRITING, state))

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Refused as e:
            self._fail(e)

    def _fail(self, error: Refused) -> NoReturn:
        if error.errno in (errno.EEXIST, errno.ETIMEDOUT):  # it is another's, or would wait as long again: it is swept
            self._done = True
        self.abort()
        if error.errno in _FULL:
            raise NoSpace(self._id) from error
        raise Failure(f"writing the blob {self._id}") from error


class _Reader:
    def __init__(self, blobs: Space, pieces: Space, id: str, state: State) -> None:
        self._blobs = blobs
        self._pieces = pieces
        self._id = id
        self._state = state

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self._state.size)
        found = []
        while offset < end:
            number, start = divmod(offset, self._state.piece)
            wanted = min(end - offset, self._state.piece - start)
            space, name = (self._pieces, _piece(self._id, number)) if number else (self._blobs, self._id)
            found.append(_read(space, name, start, wanted))
            if len(found[-1]) < wanted:
                raise Missing(self._id)
            offset += wanted
        return found[0] if len(found) == 1 else b"".join(found)

    def file(self) -> int | None:
        return None

    def close(self) -> None:
        pass


def _piece(id: str, number: int) -> str:
    return f"{id}.{number}"


def _read(space: Space, name: str, offset: int, length: int) -> bytes:
    try:
        return space.read(name, offset, length)
    except Refused as e:
        if e.errno == errno.ENOENT:
            raise Missing(name) from e
        raise
