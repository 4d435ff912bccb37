"""The parts of multipart/form-data as they come (RFC 7578): fields, and behind them one file of any size."""

from __future__ import annotations

import re

from cumulet.api.s3 import errors

MAX_FIELDS = 20 << 10
MAX_HEAD = 8 << 10
_NAME = re.compile(r'(?<![a-z])name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILENAME = re.compile(r'filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


class FormParts:
    """`feed` gives the file's pieces; by then `fields` (names in lower case) and `filename` are complete."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.has_file = False
        self._mark = b"\r\n--" + boundary
        self._pending = bytearray(b"\r\n")
        self._state = "mark"
        self._name = ""
        self._fields_size = 0
        self._begun = False

    def feed(self, piece: bytes) -> list[bytes]:
        self._pending += piece
        found: list[bytes] = []
        while self._step(found):
            pass
        return found

    def finish(self) -> None:
        if self._state not in ("end", "after"):
            raise malformed("it ends before its last boundary")

    def _step(self, found: list[bytes]) -> bool:
        if self._state == "mark":
            return self._first_mark()
        if self._state == "after":
            return self._after_mark()
        if self._state == "head":
            return self._head()
        if self._state == "field":
            return self._field()
        if self._state == "file":
            return self._file(found)
        self._pending.clear()
        return False

    def _first_mark(self) -> bool:
        at = self._pending.find(self._mark)
        if at < 0:
            if len(self._pending) > MAX_HEAD:
                raise malformed("its boundary is not in it")
            return False
        del self._pending[: at + len(self._mark)]
        self._state = "after"
        return True

    def _after_mark(self) -> bool:
        if len(self._pending) < 2:
            return False
        if self._pending[:2] == b"--":
            self._state = "end"
            return True
        end = self._pending.find(b"\r\n")
        if end < 0:
            return False
        del self._pending[: end + 2]
        self._state = "end" if self.has_file else "head"  # what is behind the file is ignored
        return True

    def _head(self) -> bool:
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            if len(self._pending) > MAX_HEAD:
                raise malformed("the head of a part is too long")
            return False
        head = bytes(self._pending[:end]).decode("utf-8", "replace")
        del self._pending[: end + 2]  # the part's text may be empty: the boundary begins with this line's end
        name = _NAME.search(head)
        if name is None:
            raise malformed("a part has no name")
        self._name = name[1].lower()
        if self._name != "file":
            self._state = "field"
            return True
        filename = _FILENAME.search(head)
        self.filename = re.split(r"[/\\]", filename[1])[-1] if filename else ""
        self.has_file = True
        self._state = "file"
        del self._pending[:2]
        return True

    def _field(self) -> bool:
        at = self._pending.find(self._mark)
        if at < 0:
            if len(self._pending) + self._fields_size > MAX_FIELDS:
                raise errors.S3Refusal(
                    "MaxPostPreDataLengthExceeded",
                    "Your POST request fields preceding the upload file were too large.",
                    400,
                )
            return False
        text = bytes(self._pending[2:at]).decode("utf-8", "replace")
        self._fields_size += len(text)
        self.fields[self._name] = text
        del self._pending[: at + len(self._mark)]
        self._state = "after"
        return True

    def _file(self, found: list[bytes]) -> bool:
        if not self._begun and self._pending.startswith(self._mark[2:]):
            del self._pending[: len(self._mark) - 2]
            self._state = "after"
            return True
        at = self._pending.find(self._mark)
        if at >= 0:
            found.append(bytes(self._pending[:at]))
            del self._pending[: at + len(self._mark)]
            self._state = "after"
            return True
        safe = len(self._pending) - len(self._mark)
        if safe > 0:
            found.append(bytes(self._pending[:safe]))
            del self._pending[:safe]
            self._begun = True
        return False


def malformed(why: str) -> errors.S3Refusal:
    known = "The body of your POST request is not well-formed multipart/form-data."
    return errors.S3Refusal("MalformedPOSTRequest", f"{known} {why}", 400)
