"""Results of finished pictures, one JSON line each, from which a later run resumes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .atomic import write_atomic

Row = dict[str, Any]
Key = tuple[str, str, int, int, str]
SHOWN = 120  # characters of a value in an error


def key_of(row: Row) -> Key:
    """The key of a row: category, prompt, seed, steps, variant."""
    return row["category"], row["prompt"], row["seed"], row["steps"], row["variant"]


class RowFile:
    """The rows written by one of several processes to `folder`; every process reads all rows.

    A row is appended by one write and fsynced. Incomplete lines are ignored, so that their pictures are drawn again.
    """

    def __init__(self, folder: Path, process: int = 0) -> None:
        self.path = folder / f"rows-{process}.jsonl"
        self._mended = False

    def append(self, row: Row) -> None:
        """Append a row. On OSError, such as a full disk, earlier rows are unchanged."""
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                size = os.fstat(file).st_size
                if not self._mended and size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line
                if os.write(file, line) != len(line):
                    raise OSError(errno.ENOSPC, "the disk is full: free some space and run the command again to resume")
                os.fsync(file)
                self._mended = True
            finally:
                os.close(file)
        except OSError as error:
            self._mended = False
            error.filename = error.filename or str(self.path)
            raise


def read_rows(folder: Path) -> dict[Key, Row]:
    """All rows of all processes, sorted by key; of duplicates, the first."""
    found: dict[Key, Row] = {}
    for path in sorted(folder.glob("rows-*.jsonl")):
        for row in _lines(path):
            found.setdefault(key_of(row), row)
    return dict(sorted(found.items()))


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings common to all rows to the folder's settings.json; ValueError if it has other settings."""
    path, settings = folder / "settings.json", json.loads(json.dumps(settings))
    if not path.is_file():
        write_atomic(path, (json.dumps(settings, indent=1) + "\n").encode())
        return
    try:
        before = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: give another --out.") from error
    differing = [name for name in settings if before.get(name) != settings[name]]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{folder} holds rows made with {name} {_short(before.get(name))}, not {_short(settings[name])}: give another "
            "--out, or what was given then."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _lines(path: Path) -> Iterator[Row]:
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
            key_of(row)
        except (ValueError, KeyError, TypeError):
            continue
        yield row
