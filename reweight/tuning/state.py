"""The state of a tuning on disk, written atomically after every iteration, so that a killed tuning can resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..storage.atomic import write_atomic
from ..storage.strict_json import plain, read_object

FORMAT = "reweight-tuning-1"
MAX_BYTES = 20_000_000


def read_state(path: Path | None, about: dict[str, Any]) -> dict[str, Any] | None:
    """The saved state of a tuning with the same `about`; None if there is no file.

    ValueError of one sentence for a damaged file, or one of another tuning.
    """
    if path is None or not path.exists():
        return None
    with path.open("rb") as file:
        kept = read_object(file.read(MAX_BYTES + 1), "the state of a tuning", MAX_BYTES)
    if kept.get("format") != FORMAT or not isinstance(kept.get("about"), dict):
        raise ValueError(f"{path.name} is not the state of a tuning: give another file.")
    wanted = plain(about)
    for name in wanted:
        if kept["about"].get(name) != wanted[name]:
            raise ValueError(
                f"{path.name} holds a tuning with another {name.replace('_', ' ')}: give another file, or what was given "
                "then."
            )
    return kept


def write_state(path: Path | None, about: dict[str, Any], state: dict[str, Any]) -> None:
    """Write the state. On OSError the previous file is unchanged."""
    if path is not None:
        text = json.dumps(plain({"format": FORMAT, "about": about} | state), allow_nan=False)
        write_atomic(path, text.encode())
