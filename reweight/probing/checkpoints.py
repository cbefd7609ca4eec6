"""The state of probes that have not ended, so that a process that is killed loses one iteration at most."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from .importance_probe import ProbeSnapshot
from .loss_cache import StateError

MOST = 50  # files that are kept


def own_folder() -> Path:
    """Where they are kept by default: among the assets of the hub's cache."""
    return Path(constants.HF_ASSETS_CACHE) / "reweight" / "probes"


def resumed(
    folder: Path | None, about: dict[str, Any], search: Callable[[Path | None], Iterator[ProbeSnapshot]]
) -> Generator[ProbeSnapshot, None, None]:
    """The snapshots of a search, which goes on from where one of the same `about` was stopped.

    search: called with the file to resume from, or None. A file that cannot be read or written costs what was known of
    an earlier search, and nothing else; without a folder nothing is kept.
    """
    file = None if folder is None else _file(folder, about)
    if file is not None:
        ended = False
        with suppress(OSError, StateError), closing(search(file)) as snapshots:
            yield from snapshots
            ended = True
        with suppress(OSError):
            file.unlink(missing_ok=True)
        if ended:
            return
    yield from search(None)


def _file(folder: Path, about: dict[str, Any]) -> Path | None:
    """Where the state of such a search is kept, or None where nothing can be; the oldest of too many others go."""
    file = folder / f"{hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(set(folder.glob("*.npz")) - {file}, key=lambda path: path.stat().st_mtime)
        for path in others[: max(0, len(others) - MOST + 1)]:
            path.unlink()
    except OSError:
        return None
    return file
