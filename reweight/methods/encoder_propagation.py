"""Faster Diffusion (arXiv 2312.09608): the encoder runs at key steps only; the decoder reuses its features in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..patching.blocks import as_unet
from ..patching.clock import Clock, clocked
from ..patching.noise import PriorNoise, prior_noise
from ..patching.stages import Reuse, Together, encoder, kept
from ..patching.stand_in import standing_in
from .base import Drawing, Method, Report
from .settings import setting
from .steps import Steps, checked_steps, with_steps, words

AUTHORS = (0, 1, 2, 3, 5, 10, 15, 25, 35)  # key steps of 50


@dataclass(frozen=True)
class FasterDiffusion:
    """Settings of Faster Diffusion.

    Important: key_steps: the steps, from 1, that run the whole U-Net; the first step always does. None: the authors' key
    steps of 50, scaled to the number of steps and rounded down (the scaling is ours).
    together: how many steps the decoder computes in one batch, at most. The pictures are the same up to rounding.
    Tinker with: noise: the share of the initial noise that is added again before each scheduler step in the second part
    of the schedule, for texture; 0 for none. below: it is added where t / 1000 is below this.
    """

    key_steps: Steps = setting("Key steps", default=None)
    together: int = setting("Steps answered together", low=1, high=50, default=1)
    noise: float = setting("Prior noise", low=0, high=0.1, step=0.001, default=0.003)
    below: float = setting("Noise below t", low=0, high=1, step=0.05, default=0.5)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_steps", checked_steps(self.key_steps, "Faster Diffusion's key steps"))

    def keys(self, steps: int) -> frozenset[int]:
        """The key steps of T steps, counted from 0."""
        if self.key_steps is not None:
            return frozenset(step - 1 for step in self.key_steps)
        return frozenset(key * steps // 50 for key in AUTHORS)


class FasterDiffusionMethod(Method):
    """Encoder propagation with prior noise injection, as a column."""

    key = "faster-diffusion"
    title = "Faster Diffusion"
    settings = FasterDiffusion
    presets = dict.fromkeys(("toy", "sd15", "sd21", "sd-turbo", "sdxl", "sdxl-turbo"), FasterDiffusion())
    excludes = frozenset({"inherit"})

    def read(self, raw: Any, default: Any) -> FasterDiffusion:
        return super().read(with_steps(raw, "key_steps", "Faster Diffusion's key steps"), default)

    @contextmanager
    def apply(self, pipe: Any, settings: FasterDiffusion, drawing: Drawing) -> Iterator[Report]:
        unet = as_unet(pipe)
        modules, reuse = encoder(unet), Reuse()
        report = Report(len(modules) + 1)
        with ExitStack() as undo:
            clock = undo.enter_context(clocked(pipe, self.title, by_step=False))
            noise = undo.enter_context(
                prior_noise(pipe, clock, settings.noise, settings.below, lambda: report.add("steps with noise added"))
            )
            propagation = _Propagation(clock, settings, reuse, noise)
            undo.callback(unet.register_forward_pre_hook(propagation).remove)
            *_, mid = undo.enter_context(kept(modules, reuse))
            together = Together(unet.forward, unet, clock, reuse, propagation.group)
            undo.enter_context(standing_in(unet, together))

            def count(*_: Any) -> None:
                report.figures |= {
                    "U-Net calls": clock.calls, "encoder calls saved": mid.reused + together.answered,
                    "decoder calls saved": together.answered,
                }  # fmt: skip

            undo.callback(unet.register_forward_hook(count).remove)
            yield report

    def caption(self, settings: FasterDiffusion, drawing: Drawing) -> str:
        keys = words(tuple(sorted(key + 1 for key in settings.keys(drawing.steps))))
        return f"encoder at {keys}, noise {settings.noise:g}"

    def inert(self, settings: FasterDiffusion, drawing: Drawing) -> str:
        if not set(range(1, drawing.steps)) <= settings.keys(drawing.steps):
            return ""
        return f"Faster Diffusion does nothing at {drawing.steps} step{'s' * (drawing.steps > 1)}: each is a key step."


class _Propagation:
    """U-Net pre-hook after the clock's: whether this call reuses the encoder's features.

    If every step is a key step nothing is changed and no noise added, since the noise compensates for the propagation.
    """

    def __init__(self, clock: Clock, settings: FasterDiffusion, reuse: Reuse, noise: PriorNoise) -> None:
        self.clock, self.settings, self.reuse, self.noise = clock, settings, reuse, noise

    def __call__(self, *_: Any) -> None:
        self.reuse.active = not self._key(self.clock.step)
        following = range(self.clock.first, self.clock.steps)
        self.noise.allowed = self.settings.noise > 0 and not all(map(self._key, following))

    def _key(self, step: int) -> bool:
        return step == self.clock.first or step in self.settings.keys(self.clock.steps)

    def group(self) -> list[int]:
        """Schedule positions that this call may compute: its own, and those up to the next key step."""
        clock = self.clock
        end = clock.position + 1
        while end < len(clock.schedule) and not self._key(clock.schedule[end]):
            end += 1
        return list(range(clock.position, min(end, clock.position + self.settings.together)))
