"""Settings that are lists of denoising steps, counted from 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from .settings import whole

MAX_STEPS = 50
Steps = tuple[int, ...] | None


def checked_steps(value: Any, subject: str) -> Steps:
    """Sorted unique steps; None for None. ValueError of one sentence for anything but a list of step numbers."""
    if value is None:
        return None
    try:
        if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MAX_STEPS:
            raise ValueError
        return tuple(sorted({whole(item, 1, MAX_STEPS) for item in value}))
    except ValueError as error:
        raise ValueError(f"{subject} must be a list of step numbers from 1 to {MAX_STEPS}.") from error


def with_steps(raw: Any, name: str, subject: str) -> Any:
    """Raw settings with their list of steps validated."""
    raw = asdict(raw) if is_dataclass(raw) and not isinstance(raw, type) else raw
    if isinstance(raw, Mapping) and raw.get(name) is not None:
        return dict(raw) | {name: checked_steps(raw[name], subject)}
    return raw


def words(steps: Steps) -> str:
    """Steps as text for a caption."""
    return "" if steps is None else "steps " + ",".join(map(str, steps))
