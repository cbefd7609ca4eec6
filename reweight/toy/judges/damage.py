"""Graded damage to pictures, with which the toy scorer's quality is trained and measured."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def blur(x: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian blur of up to 4 pixels."""
    at = torch.arange(-12, 13, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (at / max(4 * level, 1e-3)) ** 2)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    x = F.pad(x, (12, 12, 12, 12), mode="replicate")
    x = F.conv2d(x, kernel[:, :, None], groups=x.shape[1])
    return F.conv2d(x, kernel[:, :, :, None], groups=x.shape[1])


def noise(x: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise of up to 0.6."""
    return x + 0.6 * level * torch.randn(x.shape, generator=generator).to(x)


def pixels(x: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Pixelation, with squares of up to 8 pixels."""
    side = round(x.shape[2] / (1 + 7 * level))
    return F.interpolate(F.interpolate(x, (side, side), mode="area"), x.shape[2:], mode="nearest")


def fade(x: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Fading towards a dull brown of the same brightness."""
    dull = (x.mean(1, keepdim=True) + 1) * torch.tensor([0.55, 0.48, 0.36]).to(x)[:, None, None] - 1
    return torch.lerp(x, dull, 0.9 * level)


def glare(x: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Excessive saturation and contrast."""
    grey = x.mean(1, keepdim=True)
    return (grey + (x - grey) * (1 + 1.8 * level)) * (1 + 0.8 * level)


DAMAGES = {"blur": blur, "noise": noise, "pixels": pixels, "fade": fade, "glare": glare}


def damaged(x: torch.Tensor, kind: str, level: float, generator: torch.Generator) -> torch.Tensor:
    """Pictures (n, 3, h, w) in [-1, 1] with one of the DAMAGES; level: from 0, none, to 1."""
    return x if level == 0 else DAMAGES[kind](x, level, generator).clamp(-1, 1)
