"""Settings that are lists of denoising steps, counted from 1, or of cells: a step and a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from .settings import whole

MAX_STEPS = 50
MAX_BLOCKS = 64
Steps = tuple[int, ...] | None
Cells = tuple[tuple[int, int], ...] | None


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


def checked_cells(value: Any, subject: str) -> Cells:
    """Sorted unique (step, block), the step from 1 and the block from 0; None for None. ValueError of one sentence for
    anything else."""
    if value is None:
        return None
    try:
        if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MAX_STEPS * MAX_BLOCKS:
            raise ValueError
        if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
            raise ValueError
        return tuple(sorted({(whole(step, 1, MAX_STEPS), whole(block, 0, MAX_BLOCKS - 1)) for step, block in value}))
    except ValueError as error:
        raise ValueError(
            f"{subject} must be a list of pairs: a step from 1 to {MAX_STEPS} and a block, counted from 0."
        ) from error


def acts(steps: Steps, cells: Cells, step: int, block: int) -> bool:
    """Whether a method that is limited to steps and to cells acts on a block at a step, counted from 0."""
    return (steps is None or step + 1 in steps) and (cells is None or (step + 1, block) in cells)


def never(steps: Steps, cells: Cells, count: int) -> bool:
    """Whether a method that is limited to steps and to cells acts at none of the first `count` steps."""
    return not any(
        (steps is None or step in steps) and (cells is None or any(step == at for at, _ in cells))
        for step in range(1, count + 1)
    )


def with_steps(raw: Any, name: str, subject: str) -> Any:
    """Raw settings with their list of steps validated."""
    raw = asdict(raw) if is_dataclass(raw) and not isinstance(raw, type) else raw
    if isinstance(raw, Mapping) and raw.get(name) is not None:
        return dict(raw) | {name: checked_steps(raw[name], subject)}
    return raw


def words(steps: Steps, cells: Cells = None) -> str:
    """Steps, and the number of cells, as text for a caption."""
    parts = [] if steps is None else ["steps " + ",".join(map(str, steps))]
    return ", ".join([*parts, *([] if cells is None else [f"{len(cells)} cell{'s' * (len(cells) > 1)}"])])
