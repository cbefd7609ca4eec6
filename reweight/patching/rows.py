"""Weight tables as arrays, and which row of one a U-Net call belongs to. Reads the scheduler, changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def as_weights(values: Any, m: int, what: str = "weight table") -> np.ndarray:
    """Values as a float64 table, see `as_table`; ValueError for a value that is not finite."""
    array = as_table(values, m, what).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"The {what} holds a value that is not a finite number.")
    return array


def as_mask(values: Any, m: int, what: str) -> np.ndarray:
    """Values as a table of booleans, see `as_table`; ValueError for anything else than True and False."""
    array = as_table(values, m, what)
    if array.dtype != bool:
        raise ValueError(f"The {what} holds something other than True and False: give booleans.")
    return array


def with_gradient(weights: Any) -> torch.Tensor | None:
    """The weights, if they are a tensor that requires a gradient."""
    return weights if isinstance(weights, torch.Tensor) and weights.requires_grad else None


def as_table(values: Any, m: int, what: str) -> np.ndarray:
    """A copy of values as an array of shape (m,), (T, m) or (n, T, m); ValueError otherwise."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    try:
        array = np.array(values)
        numeric = array.dtype.kind in "biuf"
    except ValueError:
        numeric = False
    if not numeric:
        raise ValueError(f"The {what} is not an array of numbers with rows of one length.")
    if array.ndim not in (1, 2, 3) or array.size == 0:
        raise ValueError(f"The {what} has shape {array.shape}: give (steps, blocks) or (samples, steps, blocks).")
    if array.shape[-1] != m:
        raise ValueError(f"The {what} has {array.shape[-1]} blocks but this U-Net has {m}.")
    return array


class RowFinder:
    """Finds the row of a U-Net call: its position in `scheduler.timesteps` // `scheduler.order`, in the full schedule.

    One finder lives as long as one context; it remembers the last position, for schedulers that repeat a timestep
    and keep no step index.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._seen: Any = None
        self._timesteps = np.empty(0)
        self._rows = np.empty(0, dtype=int)
        self._last = -1

    def row(self, timestep: Any, scheduler: Any) -> int:
        """Row, 0..T-1, of a call at `timestep` (what the U-Net received).

        ValueError when the scheduler has another number of steps than T, or knows no such timestep.
        """
        self._read(scheduler)
        steps = int(self._rows.max()) + 1
        if steps != self.steps:
            raise ValueError(
                f"The weights have rows for {self.steps} steps but the scheduler takes {steps}: "
                f"give {steps} rows, or call the pipeline with num_inference_steps={self.steps}."
            )
        self._last = self._position(timestep, scheduler)
        return int(self._rows[self._last])

    def _read(self, scheduler: Any) -> None:
        timesteps = getattr(scheduler, "timesteps", None)
        if timesteps is None or len(timesteps) == 0:
            raise ValueError("The scheduler has no timesteps yet: call its set_timesteps first.")
        if timesteps is not self._seen:
            self._seen = timesteps
            self._timesteps = _numbers(timesteps)
            self._rows = _rows(scheduler, self._timesteps)
            self._last = -1

    def _position(self, timestep: Any, scheduler: Any) -> int:
        t, tolerance = _single(timestep)
        here = np.flatnonzero(np.abs(self._timesteps - t) <= tolerance)
        for hint in (_index(scheduler), self._last + 1, self._last):
            if hint is not None and hint in here:
                return int(hint)
        if here.size:
            return int(here[np.argmin(np.abs(self._timesteps[here] - t))])
        raise ValueError(
            f"The U-Net was called at timestep {t:g}, which is not in the scheduler's schedule: "
            "give the scheduler in use with scheduler=."
        )


def _index(scheduler: Any) -> int | None:
    """The scheduler's own account of where it is; before its first step, of where it was told to begin."""
    index = getattr(scheduler, "step_index", None)
    return getattr(scheduler, "begin_index", None) if index is None else index


def _rows(scheduler: Any, timesteps: np.ndarray) -> np.ndarray:
    """Row of each position of the schedule."""
    positions = np.arange(timesteps.size)
    order = int(getattr(scheduler, "order", 1))
    if order > 1:
        return positions // order
    runge_kutta = len(getattr(scheduler, "prk_timesteps", ()))
    if runge_kutta:  # PNDM's warm-up: four calls a step
        return np.where(positions < runge_kutta, positions // 4, runge_kutta // 4 + positions - runge_kutta)
    if hasattr(scheduler, "step_index"):
        return positions
    _, first, which = np.unique(timesteps, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


def _single(timestep: Any) -> tuple[float, float]:
    """The timestep as a number, and how far its floating-point type may have rounded it."""
    values = _numbers(timestep)
    if values.size == 0 or (values != values[0]).any():
        raise ValueError("Samples at different timesteps cannot share a table: call the U-Net once for each timestep.")
    rounding = 0.0
    if isinstance(timestep, torch.Tensor) and timestep.is_floating_point():
        rounding = max(torch.finfo(timestep.dtype).eps, torch.finfo(torch.float32).eps)
    return float(values[0]), abs(float(values[0])) * rounding


def _numbers(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    return np.asarray(values, dtype=np.float64).reshape(-1)
