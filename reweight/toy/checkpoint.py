"""Training that survives a kill: one file with everything, written atomically, and a clock that goes on where it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch


class Clock:
    """Counts the seconds of a training across restarts; `fraction` runs from 0 to 1 over the minutes planned."""

    def __init__(self, minutes: float, spent: float = 0.0):
        self.total = minutes * 60
        self.began = time.monotonic() - spent

    @property
    def spent(self) -> float:
        return time.monotonic() - self.began

    @property
    def fraction(self) -> float:
        return min(1.0, self.spent / self.total)


def save(path: Path, **parts) -> None:
    """Write a checkpoint of tensors, plain numbers and state dicts."""
    temporary = path.with_suffix(".tmp")
    torch.save(parts, temporary)
    os.replace(temporary, path)


def load(path: Path) -> dict | None:
    """Read a checkpoint, or None where there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def learning_rate(peak: float, fraction: float, step: int, warmup: int = 200, hold: float = 0.5) -> float:
    """Linear warm-up in steps, the peak until `hold` of the time, then a cosine to 2% of it."""
    import math

    if step < warmup:
        return peak * (step + 1) / warmup
    if fraction < hold:
        return peak
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (fraction - hold) / (1 - hold))))


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, in place."""
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new.to(kept.dtype), 1 - decay)
