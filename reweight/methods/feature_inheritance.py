"""Feature inheritance (A-SDM, arXiv 2406.00210; DeepCache, arXiv 2312.00858): reuses deep features of earlier steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..patching.blocks import as_unet
from ..patching.clock import Clock, clocked
from ..patching.stages import Reuse, deep_part, kept
from .base import Drawing, Method, Report
from .settings import setting
from .steps import Steps, checked_steps, with_steps, words


@dataclass(frozen=True)
class Inheritance:
    """Settings of feature inheritance.

    Important: interval: every how many steps the whole U-Net runs; 1 for every step. branch: how many layers of the
    down path, after the first convolution, run at the other steps (in the up path one more); 0, the minimum, runs the
    first convolution and the last layer.
    Tinker with: full_steps: the steps, from 1, that run the whole U-Net, instead of the interval; the first step
    always does.
    """

    interval: int = setting("Interval of full steps", low=1, high=50, default=3)
    branch: int = setting("Branch", low=0, high=20, default=0)
    full_steps: Steps = setting("Steps in full", default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "full_steps", checked_steps(self.full_steps, "Feature inheritance's full steps"))

    def full(self, step: int, first: int = 0) -> bool:
        """Whether the whole U-Net runs at a step, counted from 0, of a picture whose first step is `first`."""
        if self.full_steps is not None:
            return step == first or step + 1 in self.full_steps
        return (step - first) % self.interval == 0


PRESETS: dict[str, Inheritance] = {
    **dict.fromkeys(("sd15", "sd21", "sd-turbo", "sdxl", "sdxl-turbo"), Inheritance()),
    "toy": Inheritance(interval=2),  # our value
}


class InheritanceMethod(Method):
    """Feature inheritance as a column; with an interval it is DeepCache's uniform mode."""

    key = "inherit"
    title = "Feature inheritance"
    settings = Inheritance
    presets = PRESETS
    excludes = frozenset({"faster-diffusion"})

    def read(self, raw: Any, default: Any) -> Inheritance:
        return super().read(with_steps(raw, "full_steps", "Feature inheritance's full steps"), default)

    @contextmanager
    def apply(self, pipe: Any, settings: Inheritance, drawing: Drawing) -> Iterator[Report]:
        unet = as_unet(pipe)
        modules, reuse = deep_part(unet, settings.branch), Reuse()
        middle = modules.index(unet.mid_block)
        report = Report(len(modules))
        with ExitStack() as undo:
            clock = undo.enter_context(clocked(pipe, self.title))
            undo.callback(unet.register_forward_pre_hook(_Inherit(clock, settings, reuse)).remove)
            stages = undo.enter_context(kept(modules, reuse))

            def count(*_: Any) -> None:
                report.figures |= {"U-Net calls": clock.calls, "of these without the deep part": stages[middle].reused}

            undo.callback(unet.register_forward_hook(count).remove)
            yield report

    def caption(self, settings: Inheritance, drawing: Drawing) -> str:
        when = words(settings.full_steps) or f"every {settings.interval} steps"
        return f"in full {when}, branch {settings.branch}"

    def inert(self, settings: Inheritance, drawing: Drawing) -> str:
        if not all(settings.full(step) for step in range(drawing.steps)):
            return ""
        return f"Feature inheritance does nothing at {drawing.steps} step{'s' * (drawing.steps > 1)}: each is in full."


class _Inherit:
    """U-Net pre-hook after the clock's: whether this call reuses deep features."""

    def __init__(self, clock: Clock, settings: Inheritance, reuse: Reuse) -> None:
        self.clock, self.settings, self.reuse = clock, settings, reuse

    def __call__(self, *_: Any) -> None:
        self.reuse.active = not self.settings.full(self.clock.step, self.clock.first)
