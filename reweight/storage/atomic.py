"""Atomic writes: a file has its old content or its new content, never a part of either."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

DRAFT_SECONDS = 3600  # older drafts belong to writes that were killed


def write_atomic(path: Path, data: bytes) -> None:
    """Write data to a draft beside path, force it to disk, and rename it.

    OSError leaves what was there, and no draft. Drafts of the same path that killed writes left behind are removed.
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
    """Remove the drafts of a folder, or of one name in it, that nobody has written to for so many seconds."""
    pattern = f".{'*' if name is None else escape(name)}.{'[0-9a-f]' * 16}.tmp"
    with suppress(OSError):
        for draft in folder.glob(pattern):
            with suppress(OSError):
                if time.time() - draft.stat().st_mtime > seconds:
                    draft.unlink()
