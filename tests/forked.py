"""A command in a process of its own that need not load torch again: a fork of this one, in which `reweight` is imported anew."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO

import pytest

LIMIT = 300  # seconds, after which the process is ended


class Forked:
    """A running process: its id, and what it writes to its stderr."""

    def __init__(self, pid: int, stderr: IO[str]) -> None:
        self.pid, self.stderr = pid, stderr

    def rest(self) -> tuple[int, str]:
        """Wait for its end: the exit status, and what it wrote to stderr since."""
        with self.stderr:
            said = self.stderr.read()
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), said


def forked(
    work: Callable[[], object], *, path: tuple[Path, ...] = (), changes: Mapping[str, str] = MappingProxyType({})
) -> Forked:
    """Start some work, whose `SystemExit` is the exit status. path: folders to import from first. changes: of the environment."""
    if not hasattr(os, "fork"):
        pytest.skip("forks are Unix's")
    reading, writing = os.pipe()
    sys.stdout.flush(), sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(LIMIT)
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(writing, 2)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8") for number in (1, 2))
            os.environ.update(changes)
            sys.path[:0] = map(str, path)
            logging.root.handlers.clear()  # those of the tests
            for name in [name for name in sys.modules if name.partition(".")[0] == "reweight"]:
                del sys.modules[name]
            status = _status_of(work)
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    return Forked(pid, os.fdopen(reading, encoding="utf-8"))


def _status_of(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
