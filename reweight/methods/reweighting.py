"""Re-weighting: the paper's method (Sec. III-D), and weights painted by hand."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import schedule
from ..patching.blocks import places_of, stage_of, target_blocks
from ..patching.patch import reweighted
from ..schedule import Control, Places
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
    first_step, last_step: the first and last re-weighted step, counted from 1, inclusive; None for all. blocks: the
    indices of the re-weighted blocks; None for all. Other weights are 1.
    painted: (T, m) cells set by hand, which override everything else: None keeps the schedule's weight, a number from 0
    to 2 is the weight, "off" bypasses the block. None if no cell is painted.
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
        """The schedule's control. ValueError for an unknown schedule."""
        return schedule.CONTROLS.named(self.schedule)

    def mask(self, steps: int, m: int) -> np.ndarray:
        """Where the schedule applies, (T, m) bool: the step window and the blocks. ValueError if a block does not exist."""
        if self.blocks and self.blocks[-1] >= m:
            raise ValueError(f"There is no block {self.blocks[-1]}: this model has blocks 0 to {m - 1}.")
        chosen = np.zeros((steps, m), dtype=bool)
        columns = list(range(m)) if self.blocks is None else list(self.blocks)
        chosen[(self.first_step or 1) - 1 : self.last_step or steps, columns] = True
        return chosen

    def weights(self, scores: np.ndarray, base: np.ndarray | None = None) -> np.ndarray:
        """Weights (T, m) by Eq. 7 for controlled scores (T, m), 1 outside the mask, with painted cells on top.

        base: (T, m), weights to use instead of Eq. 7's. ValueError if shapes do not fit.
        """
        w = schedule.weights(scores, self.low, self.high) if base is None else base
        w = np.where(self.mask(*scores.shape), w, 1.0)
        for t, i, cell in self._painted(scores.shape):
            w[t, i] = 1.0 if cell == OFF else cell
        return w

    def bypass(self, shape: tuple[int, int], base: np.ndarray | None = None) -> np.ndarray | None:
        """Where a block is bypassed, (T, m) bool; None if none is. ValueError if shapes do not fit.

        base: (T, m) bool, the bypass of a weight table.
        """
        off = np.zeros(shape, dtype=bool) if base is None else base & self.mask(*shape)
        for t, i, cell in self._painted(shape):
            off[t, i] = cell == OFF
        return off if off.any() else None

    def controlled(self, scores: np.ndarray, places: Places, seed: int) -> np.ndarray:
        """Scores (T, m) after the schedule's control, such as reversed by "inverted"."""
        return self.control().apply(np.asarray(scores, dtype=np.float64), places, seed)

    def tables(self, drawing: Drawing) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(weights, bypass) for `reweighted`: the drawing's own if it has weights, else computed from its scores.

        Both are (T, m), or (n, T, m) if the drawing's are; m is the number of Transformer2DModels for a weight table
        with a weight for each. weights is None without scores and weights, bypass if no block is bypassed.
        """
        chosen = drawing.chosen
        if drawing.weights is not None or chosen is None:
            return drawing.weights, drawing.bypass
        weights = self.weights(self.controlled(chosen.scores, places_of(drawing.blocks), drawing.seed), chosen.weights)
        bypass = self.bypass(weights.shape, chosen.bypass)
        table = chosen.weight_table
        if table is None or table.per != "transformer":
            return weights, bypass
        stage = stage_of(drawing.blocks)
        own = self.unpainted(weights.shape)[:, stage]  # (T, k), where the table's weights apply
        off = np.zeros(own.shape, bool) if bypass is None else bypass[:, stage]
        off |= own & (False if table.bypass is None else table.bypass)
        return np.where(own, table.weights, weights[:, stage]), off if off.any() else None

    def unpainted(self, shape: tuple[int, int]) -> np.ndarray:
        """Where the schedule's or weight table's weights apply, (T, m) bool: inside `mask`, and not painted over."""
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
    """Re-weighting as a column: computes weights from its settings and the drawing's scores, and applies them."""

    key = "reweighted"
    title = "Re-weighted"
    about = "The same model, the output of each Transformer block multiplied by its weight."
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
        weights, bypass = settings.tables(drawing)
        if weights is None:
            raise ValueError("There are no weights to apply: give scores or a table.")
        with reweighted(pipe, weights, bypass=bypass):
            yield Report(modules=sum(len(block.transformers) for block in target_blocks(pipe.unet)))

    def caption(self, settings: Reweighting, drawing: Drawing) -> str:
        window = f"steps {settings.first_step or 1}-{settings.last_step or drawing.steps}"
        return f"low {settings.low:g} high {settings.high:g} {settings.schedule} {window}" + (
            " painted" if settings.painted else ""
        )

    def cache_key(self, settings: Reweighting, drawing: Drawing) -> Hashable:
        return tuple(None if table is None else table.tobytes() for table in settings.tables(drawing))

    def inert(self, settings: Reweighting, drawing: Drawing) -> str:
        weights, bypass = settings.tables(drawing)
        same = weights is not None and bypass is None and (weights == 1).all()
        return "Every weight is 1, so nothing changes." if same else ""


def _indices(value: Any) -> tuple[int, ...]:
    try:
        if not isinstance(value, (list, tuple)) or len(value) > MAX_BLOCKS:
            raise ValueError
        return tuple(sorted({whole(item, 0, MAX_BLOCKS - 1) for item in value}))
    except ValueError as error:
        raise ValueError("must be a list of block numbers, counted from 0") from error


def _cells(value: Any) -> Cells | None:
    """Painted cells in the form of `Reweighting.painted`; None if no cell is set."""
    rows = value if isinstance(value, (list, tuple)) else ()
    widths = {len(row) if isinstance(row, (list, tuple)) else 0 for row in rows}
    if not 1 <= len(rows) <= MAX_STEPS or len(widths) != 1 or not 1 <= max(widths) <= MAX_BLOCKS:
        raise ValueError("must be a list of steps, each a list with a cell for each block")
    try:
        cells = tuple(tuple(c if c is None or c == OFF else number(c, 0, 2) for c in row) for row in rows)
    except ValueError as error:
        raise ValueError('must be empty, "off" or a weight from 0 to 2') from error
    return cells if any(cell is not None for row in cells for cell in row) else None
