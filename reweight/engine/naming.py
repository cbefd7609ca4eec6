"""File names of pictures: fox-snow_s7_reweighted_0.9-1.5.png."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def slug(prompt: str) -> str:
    """A prompt as part of a file name."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in prompt.lower()).split()
    return "-".join(words)[:60].strip("-") or "picture"


def cell_name(prompt: str, seed: int, column: str, changes: Mapping[str, Any]) -> str:
    """A file name with the varied settings: a-fox_s7_reweighted_low-0.9_high-1.5.png."""
    others = (
        re.sub(r"[^a-z0-9.]+", "-", f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}".lower())[:40]
        for name, value in changes.items()
        if name not in ("prompt", "seed", "column")
    )
    return "_".join([slug(prompt), f"s{seed}", column, *others]) + ".png"
