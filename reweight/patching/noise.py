"""Adds a share of the initial noise to the latents again before scheduler steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from .blocks import as_unet
from .clock import Clock
from .stand_in import StandIn, standing_in


class AddNoise(StandIn):
    """Stands in for a scheduler's step: replaces z_t by z_t + strength z_T where t / T_train < below.

    Latents are scaled to unit variance for that, and back. A step with several U-Net calls gets the noise once.
    allowed: whether noise is added at all. on_add: called each time it is.
    """

    allowed = True

    def __init__(
        self, forward: Callable[..., Any], scheduler: Any, clock: Clock, strength: float, below: float,
        on_add: Callable[[], object],
    ) -> None:  # fmt: skip
        super().__init__(forward)
        self.__signature__ = inspect.signature(forward)  # pipelines inspect the arguments of `step`
        self.scheduler, self.clock, self.strength, self.below = scheduler, clock, strength, below
        self.on_add = on_add
        self.first: Tensor | None = None

    def __call__(self, model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        clock = self.clock
        if self.active and self.allowed:
            scale = float(self.scheduler.scale_model_input(torch.ones(1), timestep))
            if clock.begins or self.first is None or self.first.shape != sample.shape:
                self.first = sample * scale
            again = not clock.begins and clock.schedule[clock.position - 1] == clock.step
            late = float(timestep) / self.scheduler.config.num_train_timesteps < self.below
            if late and not again:
                sample = sample + (self.strength / scale * self.first).to(sample.dtype)
                self.on_add()
        return self.forward(model_output, timestep, sample, *args, **kwargs)


class PriorNoise:
    """U-Net pre-hook: makes the scheduler in use, which another method may replace, add the noise.

    arrange(allowed): does that. It is a function, so that a deep copy of the U-Net does not copy the scheduler.
    """

    allowed = True

    def __init__(self, arrange: Callable[[bool], None]) -> None:
        self.arrange = arrange

    def __call__(self, *_: Any) -> None:
        self.arrange(self.allowed)


@contextmanager
def prior_noise(
    pipe: Any, clock: Clock, strength: float, below: float, on_add: Callable[[], object]
) -> Iterator[PriorNoise]:
    """Add strength times the initial noise to a pipeline's latents before each scheduler step with t / T_train < below."""
    steps: list[AddNoise] = []
    with ExitStack() as undo:

        def arrange(allowed: bool) -> None:
            if not steps or steps[-1].scheduler is not clock.scheduler():
                scheduler = clock.scheduler()
                step = AddNoise(scheduler.step, scheduler, clock, strength, below, on_add)
                undo.enter_context(standing_in(scheduler, step, "step"))
                steps.append(step)
            steps[-1].allowed = allowed

        hook = PriorNoise(arrange)
        undo.callback(as_unet(pipe).register_forward_pre_hook(hook).remove)
        yield hook
