"""Atomic writes: a file has either its old or its new content, never part of one."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

DRAFT_SECONDS = 3600  # older temporary files are from killed writes


def write_atomic(path: Path, data: bytes) -> None:
    """Write data to a temporary file beside path, fsync it, and rename it.

    On OSError the old file is unchanged and the temporary file removed. Temporary files that killed writes of the same
    path left behind are removed too.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sweep_drafts(path.parent, path.name)


def sweep_drafts(folder: Path, name: str | None = None, seconds: float = DRAFT_SECONDS) -> None:
    """Remove temporary files in a folder, or of one name in it, that were not modified for so many seconds."""
    pattern = f".{'*' if name is None else escape(name)}.{'[0-9a-f]' * 16}.tmp"
    with suppress(OSError):
        for draft in folder.glob(pattern):
            with suppress(OSError):
                if time.time() - draft.stat().st_mtime > seconds:
                    draft.unlink()
