"""Which step of which picture a U-Net call belongs to: a pre-hook for methods that go by the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from .blocks import as_unet
from .hooks import CheckBatch, SetRow
from .rows import RowFinder


class StepFinder(RowFinder):
    """Finds the position of a U-Net call in whatever schedule the scheduler has, and the step of a position."""

    def __init__(self) -> None:
        super().__init__(0)

    def place(self, timestep: Any, scheduler: Any) -> tuple[int, bool]:
        """(position in the scheduler's timesteps, whether a picture begins with this call).

        A picture begins with a new schedule, or where the position goes back.
        """
        schedule, last = self._seen, self._last
        self._read(scheduler)
        self._last = self._position(timestep, scheduler)
        return self._last, self._seen is not schedule or self._last < last

    def steps_of_positions(self) -> list[int]:
        """The step of each position; there are more positions than steps where a step takes several U-Net calls."""
        return [int(row) for row in self._rows]


class Clock:
    """U-Net pre-hook: keeps where the call that begins belongs.

    title: of the method that it serves. by_step: whether the method does something else at another step, so that
    predictions for several steps cannot be made in one call. scheduler: a function, so that the pipeline's may be
    changed in the meantime.
    position: in the scheduler's timesteps. schedule: the step of each position. step: 0..T-1. first: the step with which
    the picture began, for image-to-image a later one. begins: whether a picture begins with this call. batch: of the
    call. calls: so far.
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
        """T, of the schedule; 0 before the first call."""
        return max(self.schedule, default=-1) + 1


@contextmanager
def clocked(pipe: Any, title: str, *, by_step: bool = True) -> Iterator[Clock]:
    """A Clock on a pipeline's U-Net, which marks it as changed by the method of that title.

    RuntimeError where that method is applied already; ValueError for a U-Net alone, which has no scheduler.
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
    """Whether something else that hooks the U-Net, such as re-weighting, does another thing at another step."""
    others = [hook for hook in unet._forward_pre_hooks.values() if hook is not own]
    return any(isinstance(hook, (CheckBatch, SetRow)) or getattr(hook, "by_step", False) for hook in others)
