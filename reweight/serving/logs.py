"""Logging: JSON lines without user input, or plain sentences at a terminal."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import time
from typing import Any

log = logging.getLogger("reweight.serving")
MINUTE, MOST = 60.0, 60
LONGEST = 1000  # letters of a record
OWN = ("reweight", "uvicorn", "asyncio")  # whose records hold nothing that a visitor typed
FRAME = re.compile(r'File "(?:.*?[/\\])?([^/\\"]+)", line (\d+), in (\S+)')


class JsonLines(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, text, and the fields passed as `extra={"fields": …}`.

    private: of other libraries' records only where they come from, as they may quote what a visitor sent.
    """

    def __init__(self, private: bool = True) -> None:
        super().__init__()
        self.private = private

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "time": f"{when}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), "logger": record.name,
            "text": record.getMessage()[:LONGEST],
        }  # fmt: skip
        if self.private and not _own(record):
            entry |= {"text": "a library logged this", "where": f"{record.filename}:{record.lineno}"}
        entry |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1]:
            entry |= about(record.exc_info[1])
        return json.dumps(entry, ensure_ascii=False, default=str)


class Sparing(logging.Filter):
    """Limits repeated records, so that they cannot fill the disk: the same warning once a minute, others MOST times; the
    next record says how many were dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[Any, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        most = 1 if record.levelno >= logging.WARNING else MOST
        same = record.getMessage()[:200] if _own(record) else record.lineno  # a library's may differ by what was sent
        key = (record.name, record.levelno, same)
        when, count = self._last.get(key, (0.0, 0))
        if 0 <= record.created - when < MINUTE:  # the clock may have been set back
            self._last[key] = (when, count + 1)
            return count < most
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = (record.created, 1)
        if (left := count - most) > 0:
            record.fields = getattr(record, "fields", {}) | {"left_out": left}
        return True


class Tracebacks(io.TextIOBase):
    """Replaces stderr: a traceback that a library prints there becomes one log record, without its message.

    An error's message may quote a visitor's input; its type and location do not.
    """

    def __init__(self, stream: Any) -> None:
        self.stream, self._lines, self._inside, self._rest = stream, [], False, ""

    def write(self, text: str) -> int:
        self._rest += text
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            self._line(line)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return False

    def _line(self, line: str) -> None:
        if line.startswith("Traceback (most recent call last)"):
            self._lines, self._inside = [], True
        elif self._inside and line and not line.startswith((" ", "\t")):
            self._inside = False
            kind = re.match(r"[\w.]+", line)
            frames = [match.groups() for match in map(FRAME.search, self._lines) if match]
            where = ":".join(frames[-1][:2]) if frames else ""
            name = kind.group() if kind else "an error"
            log.error("a library printed %s at %s", name, where, extra={"fields": {"kind": name, "where": where}})
        elif self._inside:
            self._lines.append(line)
        elif line.startswith("{") or not line.strip():
            self.stream.write(line + "\n" if line.strip() else "")
        elif not line.startswith(("During handling", "The above exception")):
            log.warning("a library wrote to the console", extra={"fields": {"letters": len(line)}})


def _own(record: logging.LogRecord) -> bool:
    return (record.name or "").partition(".")[0] in OWN


def about(error: BaseException) -> dict[str, str]:
    """An error's type and location: file name and line, without path and message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return {"kind": type(error).__name__, "where": where}


def set_up(as_json: bool | None = None, private: bool = True) -> None:
    """Send the log to stderr: JSON lines from INFO, or at a terminal sentences from WARNING.

    private: remove user input from what libraries print to stderr.
    """
    terminal = sys.stderr.isatty()
    as_json = not terminal if as_json is None else as_json
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(private) if as_json else logging.Formatter("%(message)s"))
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("reweight").setLevel(logging.INFO if as_json else logging.WARNING)
    if as_json and private:
        sys.stderr = Tracebacks(handler.stream)  # type: ignore[assignment]
    logging.captureWarnings(True)


def adopt_uvicorn() -> None:
    """Send the web server's records to the same log."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
