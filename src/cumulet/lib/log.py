"""Logs: a constant message with fields beside it, one line each, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

_ROOT = logging.getLogger("cumulet")


class Log:
    """`log.info("placed", instance=id, host=host)` gives `… INFO scheduler placed instance=i-1 host=h7`."""

    def __init__(self, name: str) -> None:
        self._logger = _ROOT.getChild(name)

    def debug(self, message: str, **fields: Any) -> None:
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, **fields: Any) -> None:
        self._write(logging.ERROR, message, fields)

    def exception(self, message: str, **fields: Any) -> None:
        """An error, with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, message, fields, trace=True)

    def _write(self, level: int, message: str, fields: dict[str, Any], trace: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            text = " ".join([message, *(f"{key}={_shown(value)}" for key, value in fields.items())])
            self._logger.log(level, "%s", text, exc_info=trace)


def _shown(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return repr(text) if " " in text or "\n" in text or not text else text


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        name = record.name.removeprefix("cumulet.")
        line = f"{when}.{int(record.msecs):03d}Z {record.levelname} {name} {record.getMessage()}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def start(level: str) -> None:
    """Write what is at least `level` (debug, info, warning, error) to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    _ROOT.handlers[:] = [handler]
    _ROOT.setLevel(level.upper())
    _ROOT.propagate = False
