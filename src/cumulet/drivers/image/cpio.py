"""A writer of cpio archives as Linux's initramfs wants them (`newc`), the same bytes for the same contents."""

from __future__ import annotations

import stat

_TRAILER = "TRAILER!!!"


class Archive:
    """Files, directories, links and devices in the order they are added; owner root, time 0."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def directory(self, path: str, permissions: int = 0o755) -> None:
        """Add a directory; its parent comes before it."""
        self._add(path, stat.S_IFDIR | permissions)

    def file(self, path: str, contents: bytes, permissions: int = 0o644) -> None:
        """Add a regular file."""
        self._add(path, stat.S_IFREG | permissions, contents)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int, permissions: int = 0o600) -> None:
        """Add a character device."""
        self._add(path, stat.S_IFCHR | permissions, device=(major, minor))

    def finished(self) -> bytes:
        """The whole archive."""
        self._add(_TRAILER, 0)
        return b"".join(self._parts)

    def _add(self, path: str, mode: int, contents: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._count += 1
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, major, minor, device's major and minor, length of name, check
        fields = (self._count, mode, 0, 0, 1, 0, len(contents), 0, 0, *device, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._parts += [_padded(header + name), _padded(contents)]


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)
