"""Finds the denoising step and the picture that a U-Net call belongs to. Reads the scheduler, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from .blocks import as_unet


class RowFinder:
    """Finds the row of a U-Net call: its position in `scheduler.timesteps` // `scheduler.order`, in the full schedule.

    Each context has its own finder, which remembers the last position, for schedulers that repeat a timestep and have
    no step index.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._seen: Any = None
        self._timesteps = np.empty(0)
        self._rows = np.empty(0, dtype=int)
        self._last = -1

    def row(self, timestep: Any, scheduler: Any) -> int:
        """Row, 0..T-1, of a call at `timestep`, the U-Net's argument.

        ValueError if the scheduler's number of steps is not T, or if the timestep is not in its schedule.
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


class StepFinder(RowFinder):
    """Finds the position of a U-Net call in a schedule of any length, and the step of each position."""

    def __init__(self) -> None:
        super().__init__(0)

    def place(self, timestep: Any, scheduler: Any) -> tuple[int, bool]:
        """(position in the scheduler's timesteps, whether this call starts a new picture).

        A new picture starts with a new schedule, or when the position decreases.
        """
        schedule, last = self._seen, self._last
        self._read(scheduler)
        self._last = self._position(timestep, scheduler)
        return self._last, self._seen is not schedule or self._last < last

    def steps_of_positions(self) -> list[int]:
        """The step of each position; a step with several U-Net calls has several positions."""
        return [int(row) for row in self._rows]


class Clock:
    """U-Net pre-hook: records the step and picture of the current call.

    title: the method's title. by_step: whether the method's effect depends on the step, so that several steps cannot be
    computed in one call. scheduler: a function, because the pipeline's scheduler may be replaced.
    position: index into the scheduler's timesteps. schedule: the step of each position. step: 0..T-1. first: the
    picture's first step, later than 0 for image-to-image. begins: whether this call starts a new picture. batch: the
    call's batch size. calls: the number of calls.
    """

    position, step, first, batch, calls = 0, 0, 0, 0, 0
    begins = True

    def __init__(self, title: str, scheduler: Callable[[], Any], *, by_step: bool = True) -> None:
        self.title, self.by_step, self.scheduler = title, by_step, scheduler
        self.finder = StepFinder()
        self.schedule: list[int] = []

    def __call__(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        timestep = args[1] if len(args) > 1 else kwargs["timestep"]
        self.position, self.begins = self.finder.place(timestep, self.scheduler())
        if self.begins:
            self.schedule = self.finder.steps_of_positions()
            self.first = self.schedule[self.position]
        self.step = self.schedule[self.position]
        self.batch = (args[0] if args else kwargs["sample"]).shape[0]
        self.calls += 1

    @property
    def steps(self) -> int:
        """T; 0 before the first call."""
        return max(self.schedule, default=-1) + 1


@contextmanager
def clocked(pipe: Any, title: str, *, by_step: bool = True) -> Iterator[Clock]:
    """Put a Clock on a pipeline's U-Net; it also marks the method of that title as applied.

    RuntimeError if that method is applied already; ValueError for a bare U-Net, which has no scheduler.
    """
    unet = as_unet(pipe)
    if any(isinstance(hook, Clock) and hook.title == title for hook in unet._forward_pre_hooks.values()):
        raise RuntimeError(f"{title} is applied to this U-Net already: leave the other context first.")
    if not hasattr(pipe, "scheduler"):
        raise ValueError(f"{title} reads the steps from a scheduler: give a pipeline, not a U-Net alone.")
    clock = Clock(title, lambda: pipe.scheduler, by_step=by_step)
    handle = unet.register_forward_pre_hook(clock, with_kwargs=True)
    try:
        yield clock
    finally:
        handle.remove()


def others_go_by_step(unet: nn.Module, own: Clock) -> bool:
    """Whether another hook on the U-Net, such as re-weighting's, has effects that depend on the step."""
    return any(getattr(hook, "by_step", False) for hook in unet._forward_pre_hooks.values() if hook is not own)


def _index(scheduler: Any) -> int | None:
    """The scheduler's step index; before its first step, its begin index."""
    index = getattr(scheduler, "step_index", None)
    return getattr(scheduler, "begin_index", None) if index is None else index


def _rows(scheduler: Any, timesteps: np.ndarray) -> np.ndarray:
    """The row of each position of the schedule."""
    positions = np.arange(timesteps.size)
    order = int(getattr(scheduler, "order", 1))
    if order > 1:
        return positions // order
    runge_kutta = len(getattr(scheduler, "prk_timesteps", ()))
    if runge_kutta:  # PNDM's warm-up: four calls per step
        return np.where(positions < runge_kutta, positions // 4, runge_kutta // 4 + positions - runge_kutta)
    if hasattr(scheduler, "step_index"):
        return positions
    _, first, which = np.unique(timesteps, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


def _single(timestep: Any) -> tuple[float, float]:
    """The timestep as a number, and its possible rounding error."""
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
