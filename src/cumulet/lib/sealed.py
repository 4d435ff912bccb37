"""Documents that only the holder of a key can read: for what rests in a table or crosses a network that others hear."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from cumulet.lib.errors import Failure

REMEMBERED = 4096


def new_key() -> str:
    """A random key: 44 characters that need no quoting in a shell."""
    return Fernet.generate_key().decode()


def seal(key: str, document: bytes) -> str:
    """The document, encrypted and authenticated (Fernet: AES-128-CBC and HMAC-SHA256)."""
    return Fernet(key).encrypt(document).decode()


def unseal(key: str, sealed: str) -> bytes:
    """What was sealed; raises `Failure` for another key, or where something was changed on the way."""
    try:
        return Fernet(key).decrypt(sealed)
    except (InvalidToken, ValueError):
        raise Failure("what was received is not what was sealed with this key") from None


class Keyring:
    """The cloud's keys: the newest one seals, and each of them unseals what it has sealed.

    With a file, that is where they are, one a line, the newest first; it is made when it is not there, and read again
    when it has changed, so that a rotation reaches every process. Without one they are this object's alone.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read: object = None
        self._keys: list[Fernet] = [] if file else [Fernet(new_key())]
        self._opened: dict[str, bytes] = {}

    def seal(self, document: bytes) -> str:
        """The document, as only a process with these keys can read it."""
        return self._current()[0].encrypt(document).decode()

    def unseal(self, sealed: str) -> bytes:
        """What was sealed; raises `Failure` if with none of these keys. The last few thousand answers are kept, and
        given without a look at the file."""
        found = self._opened.get(sealed)
        if found is None:
            found = _opened(self._current(), sealed)
            with self._lock:
                if len(self._opened) >= REMEMBERED:
                    self._opened.clear()
                self._opened[sealed] = found
        return found

    def add(self) -> None:
        """A new key seals from now on; what the older ones have sealed can still be read."""
        assert self._file is not None
        _write(self._file, [new_key(), *_lines(self._file)])

    def forget_older(self) -> None:
        """Only the newest key is left."""
        assert self._file is not None
        _write(self._file, _lines(self._file)[:1])

    def _current(self) -> list[Fernet]:
        if self._file is None:
            return self._keys
        with self._lock:
            try:
                stat = self._file.stat()
            except FileNotFoundError:
                _make(self._file)
                stat = self._file.stat()
            seen = stat.st_mtime_ns, stat.st_ino
            if seen != self._read:
                self._keys = [_fernet(line, self._file) for line in _lines(self._file)]
                self._opened.clear()
                self._read = seen
            if not self._keys:
                raise Failure(f"there is no key in {self._file}; it has one a line, and secrets rest sealed with them")
            return self._keys


def _opened(keys: list[Fernet], sealed: str) -> bytes:
    for key in keys:
        try:
            return key.decrypt(sealed)
        except (InvalidToken, ValueError):
            continue
    raise Failure("a secret was not sealed with this cloud's keys (see the setting secret_key_file)")


def _fernet(line: str, file: Path) -> Fernet:
    try:
        return Fernet(line)
    except ValueError:
        raise Failure(f"a line of {file} is no key of 32 bytes in Base64") from None


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if line.strip()]


def _make(file: Path) -> None:
    """The file with a first key, unless another process is quicker."""
    made = _beside(file, [new_key()])
    try:
        os.link(made, file)
    except FileExistsError:
        pass
    finally:
        made.unlink()


def _write(file: Path, keys: list[str]) -> None:
    _beside(file, keys).replace(file)


def _beside(file: Path, keys: list[str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # only its owner can read it
    with os.fdopen(descriptor, "w") as opened:
        opened.write("".join(f"{key}\n" for key in keys))
        opened.flush()
        os.fsync(opened.fileno())
    return Path(name)
