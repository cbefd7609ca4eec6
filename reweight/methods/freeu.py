"""FreeU (arXiv 2309.11497): in the up path, amplifies backbone features and attenuates low frequencies of the skips."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..patching.blocks import Concatenation, as_unet, concatenations
from ..patching.patch import edited_concatenations
from .base import Drawing, Method, Report
from .settings import setting

FACTORS = ("b1", "b2", "s1", "s2")


@dataclass(frozen=True)
class FreeU:
    """Settings of FreeU, checked on construction.

    Important: b1, s1: backbone and skip factors where h comes from level 2 or deeper; b2, s2: from level 1, the
    second-highest resolution. Level 0 is never changed. A factor of 1 changes nothing.
    Tinker with: version: 2, the default, scales half of the backbone's channels by its own mean map. 1 is diffusers'
    `enable_freeu`, which selects by up-block index; in Stable Diffusion that is not the stage the authors chose.

    ValueError for a factor that is negative or not finite, and for 0 in version 1, which diffusers treats as "off".
    """

    b1: float = setting("b1: backbone, low resolutions", low=0, high=4, step=0.05)
    b2: float = setting("b2: backbone, middle resolution", low=0, high=4, step=0.05)
    s1: float = setting("s1: skips, low resolutions", low=0, high=4, step=0.05)
    s2: float = setting("s2: skips, middle resolution", low=0, high=4, step=0.05)
    version: int = setting("Version", low=1, high=2, default=2)

    def __post_init__(self) -> None:
        for name in FACTORS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise ValueError(f"FreeU's {name} must be a finite number of at least 0, not {value!r}.")
        if self.version not in (1, 2):
            raise ValueError(f"FreeU has versions 1 and 2, not {self.version!r}.")
        if self.version == 1 and not all(getattr(self, name) for name in FACTORS):
            raise ValueError("FreeU version 1 switches itself off when a factor is 0: use version 2 or a small number.")


PRESETS: dict[str, FreeU] = {
    "sd14": FreeU(b1=1.3, b2=1.4, s1=0.9, s2=0.2),
    "sd15": FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2),
    "sd21": FreeU(b1=1.4, b2=1.6, s1=0.9, s2=0.2),
    "sd-turbo": FreeU(b1=1.4, b2=1.6, s1=0.9, s2=0.2),
    "sdxl": FreeU(b1=1.3, b2=1.4, s1=0.9, s2=0.2),
    "sdxl-turbo": FreeU(b1=1.3, b2=1.4, s1=0.9, s2=0.2),
    "toy": FreeU(b1=1.1, b2=1.2, s1=0.9, s2=0.6),  # our values
}


class FreeUMethod(Method):
    """FreeU as a column."""

    key = "freeu"
    title = "FreeU"
    about = "Another method that needs no training, to compare with: it scales what a decoder block gets from below and across."
    settings = FreeU
    presets = PRESETS

    def default(self) -> FreeU:
        return PRESETS["sd15"]

    @contextmanager
    def apply(self, pipe: Any, settings: FreeU, drawing: Drawing) -> Iterator[Report]:
        with freeu(pipe, **asdict(settings)):
            unet = as_unet(pipe)
            changed = concatenations(unet) if settings.version == 2 else [*unet.up_blocks[:2]]
            yield Report(modules=sum(getattr(place, "level", 1) > 0 for place in changed))

    def inert(self, settings: FreeU, drawing: Drawing) -> str:
        same = all(getattr(settings, name) == 1 for name in FACTORS)
        return "FreeU with every factor at 1 changes next to nothing." if same else ""


@contextmanager
def freeu(pipe_or_unet: Any, *, b1: float, b2: float, s1: float, s2: float, version: int = 2) -> Iterator[None]:
    """Context manager that applies FreeU to a U-Net; see `FreeU` for the arguments and PRESETS for values.

    Version 2 selects features by level, so it works for any U-Net width; for Stable Diffusion and SDXL these are the
    features that the authors' rule selects by channel count. Factors of 1 give almost, not bitwise, the baseline,
    because the skips go through a Fourier transform; leaving the context restores bitwise. A U-Net with one level is
    not changed. ValueError for invalid settings; RuntimeError if FreeU is applied already.
    """
    config = FreeU(b1, b2, s1, s2, version)
    unet = as_unet(pipe_or_unet)
    if any(getattr(stage, name, None) is not None for stage in unet.up_blocks for name in FACTORS):
        raise RuntimeError("FreeU is enabled on this U-Net already: call its disable_freeu() first.")

    def edit(place: Concatenation, h: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        b, s = factors(config, place.level)
        return strengthened(h, b), dimmed(skip, s)

    places = [place for place in concatenations(unet) if place.level > 0] if version == 2 else []
    through_diffusers = _enabled(unet, config) if version == 1 else nullcontext()
    with edited_concatenations(unet, places, edit, method="FreeU"), through_diffusers:
        yield


def factors(config: FreeU, level: int) -> tuple[float, float]:
    """(b, s) for h from a level: (b2, s2) for level 1, (b1, s1) for deeper levels, ones for level 0."""
    if level == 0:
        return 1.0, 1.0
    return (config.b2, config.s2) if level == 1 else (config.b1, config.s1)


def strengthened(h: Tensor, b: float) -> Tensor:
    """Backbone features in version 2: the first half of the channels of h times (b - 1) m + 1.

    h: (batch, channels, height, width). m: the channel mean of h, scaled to [0, 1] per sample; 0 if h is constant.
    """
    half = h.shape[1] // 2
    m = h.mean(dim=1, keepdim=True, dtype=torch.float32)
    lowest, highest = m.amin(dim=(2, 3), keepdim=True), m.amax(dim=(2, 3), keepdim=True)
    m = (m - lowest) / (highest - lowest).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.cat([h[:, :half] * ((b - 1) * m + 1).to(h.dtype), h[:, half:]], dim=1)


def dimmed(skip: Tensor, s: float) -> Tensor:
    """The skip with its lowest frequencies (0 and -1 in height and width) times s, computed in float32."""
    spectrum = torch.fft.fft2(skip.float())
    mask = torch.ones(skip.shape[-2:], device=skip.device)
    for row in (0, -1):
        for column in (0, -1):
            mask[row, column] = s
    return torch.fft.ifft2(spectrum * mask).real.to(skip.dtype)


@contextmanager
def _enabled(unet: Any, config: FreeU) -> Iterator[None]:
    before = [{name: vars(stage)[name] for name in FACTORS if name in vars(stage)} for stage in unet.up_blocks]
    try:
        unet.enable_freeu(s1=config.s1, s2=config.s2, b1=config.b1, b2=config.b2)
        yield
    finally:
        for stage, values in zip(unet.up_blocks, before, strict=True):
            for name in FACTORS:
                vars(stage).pop(name, None)
            vars(stage).update(values)
