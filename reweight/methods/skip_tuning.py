"""Skip-Tuning (arXiv 2402.15170): scales skip tensors down, most strongly at the bottom of the U-Net."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..patching.blocks import as_unet
from ..patching.skips import scaled_skips
from .base import Drawing, Method, Report
from .settings import setting


@dataclass(frozen=True)
class SkipTuning:
    """Settings of Skip-Tuning.

    Important: bottom, top: the factors of the deepest and of the last skip, with linear interpolation between them. The
    defaults are ours for every family; the paper gives none for Stable Diffusion.
    """

    bottom: float = setting("Deepest skip", low=0, high=2, step=0.01, default=0.8)
    top: float = setting("Last skip", low=0, high=2, step=0.01, default=1.0)


PRESETS: dict[str, SkipTuning] = {
    **dict.fromkeys(("sd15", "sd21", "sd-turbo", "sdxl", "sdxl-turbo"), SkipTuning()),
    "toy": SkipTuning(bottom=0.95),
}


class SkipTuningMethod(Method):
    """Skip-Tuning as a column. It increases the error of the noise prediction, though pictures may improve."""

    key = "skip-tuning"
    title = "Skip-Tuning"
    settings = SkipTuning
    presets = PRESETS

    @contextmanager
    def apply(self, pipe: Any, settings: SkipTuning, drawing: Drawing) -> Iterator[Report]:
        unet = as_unet(pipe)
        rho = factors(sum(len(stage.resnets) for stage in unet.up_blocks), settings.bottom, settings.top)
        with scaled_skips(unet, rho) as modules:
            yield Report(modules, {"skips scaled": sum(factor != 1 for factor in rho)})

    def inert(self, settings: SkipTuning, drawing: Drawing) -> str:
        return "Skip-Tuning with both factors at 1 changes nothing." if settings.bottom == settings.top == 1 else ""


def factors(count: int, bottom: float, top: float) -> list[float]:
    """rho_i = rho_bottom + i (rho_top - rho_bottom) / k for i = 0..k, deepest first; rho_bottom if there is one skip."""
    k = max(count - 1, 1)
    return [bottom + i * (top - bottom) / k for i in range(count)]
