"""Re-weighting: the paper's method (Sec. III-D), and cells of its weight table set by hand."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import schedule
from ..patching.blocks import target_blocks
from ..patching.patch import reweighted
from ..schedule import Control
from .base import Drawing, Method, Report
from .settings import number, read_settings, setting, whole

MAX_STEPS, MAX_BLOCKS = 50, 64
OFF = "off"
Cell = float | str | None
Cells = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Reweighting:
    """Settings of re-weighting, checked on construction.

    low, high: the weights of the least and the most important block (Eq. 7). schedule: a key of `schedule.CONTROLS`.
    first_step, last_step: the steps that are re-weighted, counted from 1, both included; None for all. blocks: the
    indices of the blocks that are re-weighted, None for all. Elsewhere weights are 1.
    painted: (T, m) cells set by hand, which override everything else: None leaves the schedule's weight, a number from 0
    to 2 is the weight, "off" bypasses the block. None where nothing is painted.
    """

    low: float = setting("low", low=0, high=2, step=0.005, default=0.98, above=True, subject="The low weight")
    high: float = setting("high", low=0, high=2, step=0.005, default=1.1, above=True, subject="The high weight")
    schedule: str = setting("Schedule", default="importance")
    first_step: int | None = setting("Re-weight from step", default=None)
    last_step: int | None = setting("to step", default=None)
    blocks: tuple[int, ...] | None = setting("Blocks", default=None)
    painted: Cells | None = setting("Painted cells", default=None)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"The low weight {self.low:g} is above the high weight {self.high:g}: swap them.")

    def control(self) -> Control:
        """How scores become those that the weights follow. ValueError for an unknown schedule."""
        return schedule.CONTROLS.named(self.schedule)

    def mask(self, steps: int, m: int) -> np.ndarray:
        """Where the schedule applies, (T, m) bool: in the step window, for the blocks. ValueError for no such block."""
        if self.blocks and self.blocks[-1] >= m:
            raise ValueError(f"There is no block {self.blocks[-1]}: this model has blocks 0 to {m - 1}.")
        chosen = np.zeros((steps, m), dtype=bool)
        columns = list(range(m)) if self.blocks is None else list(self.blocks)
        chosen[(self.first_step or 1) - 1 : self.last_step or steps, columns] = True
        return chosen

    def weights(self, scores: np.ndarray, base: np.ndarray | None = None) -> np.ndarray:
        """Weights (T, m) by Eq. 7 for controlled scores (T, m), 1 outside the mask, then the painted ones.

        base: (T, m) weights that take the place of Eq. 7's. ValueError where shapes do not fit.
        """
        w = schedule.weights(scores, self.low, self.high) if base is None else base
        w = np.where(self.mask(*scores.shape), w, 1.0)
        for t, i, cell in self._painted(scores.shape):
            w[t, i] = 1.0 if cell == OFF else cell
        return w

    def bypass(self, shape: tuple[int, int], base: np.ndarray | None = None) -> np.ndarray | None:
        """Where a block is switched off, (T, m) bool; None where none is. ValueError where shapes do not fit.

        base: (T, m) bool, where a table that is applied as it is does so.
        """
        off = np.zeros(shape, dtype=bool) if base is None else base & self.mask(*shape)
        for t, i, cell in self._painted(shape):
            off[t, i] = cell == OFF
        return off if off.any() else None

    def unpainted(self, shape: tuple[int, int]) -> np.ndarray:
        """Where the schedule's or the table's own weights apply, (T, m) bool: in `mask`, and not painted over."""
        own = self.mask(*shape)
        for t, i, _ in self._painted(shape):
            own[t, i] = False
        return own

    def _painted(self, shape: tuple[int, ...]) -> Iterator[tuple[int, int, float | str]]:
        cells = self.painted or ()
        if cells and (len(cells), len(cells[0])) != tuple(shape):
            raise ValueError(
                f"The painted weights are for {len(cells)} steps and {len(cells[0])} blocks, but there are {shape[0]} "
                f"steps and {shape[1]} blocks: paint them again."
            )
        return ((t, i, cell) for t, row in enumerate(cells) for i, cell in enumerate(row) if cell is not None)


class ReweightingMethod(Method):
    """Re-weighting as a column. It applies the weights of the drawing, which are made from the settings and scores."""

    key = "reweighted"
    title = "Re-weighted"
    settings = Reweighting

    def read(self, raw: Any, default: Reweighting) -> Reweighting:
        raw = dict(raw) if isinstance(raw, Mapping) else asdict(raw) if isinstance(raw, Reweighting) else raw
        if isinstance(raw, dict):
            for name, subject, read in (
                ("first_step", "The first step", lambda value: whole(value, 1, MAX_STEPS)),
                ("last_step", "The last step", lambda value: whole(value, 1, MAX_STEPS)),
                ("blocks", "The blocks", _indices),
                ("painted", "The painted cells", _cells),
            ):
                if raw.get(name) is not None:
                    try:
                        raw[name] = read(raw[name])
                    except ValueError as error:
                        raise ValueError(f"{subject} {error}.") from error
            if raw.get("schedule") is not None:
                schedule.CONTROLS.named(raw["schedule"])
        return read_settings(Reweighting, self.title, raw, default)

    @contextmanager
    def apply(self, pipe: Any, settings: Reweighting, drawing: Drawing) -> Iterator[Report]:
        if drawing.weights is None:
            raise ValueError("There are no weights to apply: give scores or a table.")
        with reweighted(pipe, drawing.weights, bypass=drawing.bypass):
            yield Report(modules=sum(len(block.transformers) for block in target_blocks(pipe.unet)))

    def caption(self, settings: Reweighting, drawing: Drawing) -> str:
        window = f"steps {settings.first_step or 1}-{settings.last_step or drawing.steps}"
        return f"low {settings.low:g} high {settings.high:g} {settings.schedule} {window}" + (
            " painted" if settings.painted else ""
        )

    def cache_key(self, settings: Reweighting, drawing: Drawing) -> Hashable:
        return tuple(None if table is None else table.tobytes() for table in (drawing.weights, drawing.bypass))

    def inert(self, settings: Reweighting, drawing: Drawing) -> str:
        same = drawing.weights is not None and drawing.bypass is None and (drawing.weights == 1).all()
        return "Every weight is 1, so nothing changes." if same else ""


def _indices(value: Any) -> tuple[int, ...]:
    try:
        if not isinstance(value, (list, tuple)) or len(value) > MAX_BLOCKS:
            raise ValueError
        return tuple(sorted({whole(item, 0, MAX_BLOCKS - 1) for item in value}))
    except ValueError as error:
        raise ValueError("must be a list of block numbers, counted from 0") from error


def _cells(value: Any) -> Cells | None:
    """Cells as `Reweighting.painted` has them; None where none is set."""
    rows = value if isinstance(value, (list, tuple)) else ()
    widths = {len(row) if isinstance(row, (list, tuple)) else 0 for row in rows}
    if not 1 <= len(rows) <= MAX_STEPS or len(widths) != 1 or not 1 <= max(widths) <= MAX_BLOCKS:
        raise ValueError("must be a list of steps, each a list with a cell for each block")
    try:
        cells = tuple(tuple(c if c is None or c == OFF else number(c, 0, 2) for c in row) for row in rows)
    except ValueError as error:
        raise ValueError('must be empty, "off" or a weight from 0 to 2') from error
    return cells if any(cell is not None for row in cells for cell in row) else None
