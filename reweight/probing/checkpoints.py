"""Checkpoints of unfinished probes, so that a killed process loses at most one iteration."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from ..storage.atomic import sweep_drafts
from ..storage.sealed import quarantine
from .importance_probe import ProbeSnapshot
from .loss_cache import StateError

log = logging.getLogger(__name__)
MAX_FILES = 50
SUFFIX = ".state"


def own_folder() -> Path:
    """The default folder: in the assets of the hub's cache."""
    return Path(constants.HF_ASSETS_CACHE) / "reweight" / "probes"


def resumed(
    folder: Path | None, about: dict[str, Any], search: Callable[[Path | None], Iterator[ProbeSnapshot]]
) -> Generator[ProbeSnapshot, None, None]:
    """The snapshots of a search, resumed from the checkpoint of a search with the same `about`, if there is one.

    search: called with the checkpoint file, or with None if there is no folder or the file cannot be read or created. A
    file that is damaged or belongs to another search is quarantined, and the search starts from the beginning.
    """
    file = None if folder is None else checkpoint(folder, about)
    if file is None:
        yield from search(None)
        return
    started = False
    attempt: Path | None = file
    while True:
        try:
            with closing(search(attempt)) as snapshots:
                for snapshot in snapshots:
                    started = True
                    yield snapshot
            break
        except StateError:
            quarantine(file)
            attempt = None if file.exists() else file
        except OSError as error:
            if started or attempt is None:
                raise
            log.warning("The state of this probe is not saved: %s.", error.strerror or error)
            attempt = None
    with suppress(OSError):
        file.unlink(missing_ok=True)


def checkpoint(folder: Path, about: dict[str, Any]) -> Path | None:
    """The checkpoint file for a search, None if there cannot be one.

    The oldest files beyond MAX_FILES and temporary files of killed writes are removed.
    """
    file = folder / f"{hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}{SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_drafts(folder)
        others = sorted(set(folder.glob(f"*{SUFFIX}*")) - {file}, key=lambda path: path.stat().st_mtime)
        for path in others[: max(0, len(others) - MAX_FILES + 1)]:
            path.unlink()
    except OSError:
        return None
    return file
