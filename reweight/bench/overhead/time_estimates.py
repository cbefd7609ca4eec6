"""Estimates of how long pictures, and whole tables, take on this device."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from ...engine.drawing import draw
from ...engine.request import validate
from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...probing.search import PRESETS
from ..tables.experiments import experiment

PROMPT = "a photo of a red apple on a wooden table"


@dataclass(frozen=True)
class Pace:
    """Seconds per picture: `fixed`, plus `step` for each denoising step. memory: peak, in bytes."""

    fixed: float
    step: float
    memory: int

    def picture(self, steps: int) -> float:
        """Seconds for a picture."""
        return self.fixed + self.step * steps


def calibrate(loaded: LoadedModel, seconds: float = 20.0) -> Pace:
    """Time pictures of 1 and 3 steps alternately for so many seconds, at least two of each; the first is not counted."""

    def one(steps: int) -> float:
        request = validate(loaded.card, prompt=PROMPT, model=loaded.card.key, steps=steps)
        start = time.perf_counter()
        draw(loaded, request, "vanilla")
        return time.perf_counter() - start

    one(1)
    end = time.perf_counter() + seconds
    took: dict[int, list[float]] = {1: [], 3: []}
    while time.perf_counter() < end or len(took[3]) < 2:
        for steps, times in took.items():
            times.append(one(steps))
    short, long = np.median(took[1]), np.median(took[3])
    step = max(float(long - short) / 2, 1e-6)
    return Pace(max(float(short) - step, 0.0), step, _memory(loaded.device))


def seconds_for(
    name: str, loaded: LoadedModel, pace: Pace, items: int, prompts: int, steps: tuple[int, ...] = (),
    runs: int | None = None,
) -> tuple[float, float]:  # fmt: skip
    """(seconds of drawing, maximum seconds of probing) for a table. items: number of (prompt, seed) pairs."""
    labels = [block.label for block in target_blocks(loaded.pipe.unet)]
    made = experiment(name, loaded.card, labels, steps)
    drawing = items * sum(pace.picture(variant.steps) for variant in made.variants)
    preset = PRESETS["paper-code"]
    probed = {variant.steps for variant in made.variants if variant.probed} if name != "efficiency" else set()
    iterations = (runs or preset.runs) * preset.iterations
    return drawing, prompts * iterations * pace.step * sum(probed)


def duration(seconds: float) -> str:
    """A duration as text, in the largest unit of which it has more than one."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def device_name(device: str) -> str:
    """The GPU's name, else the device's."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _memory(device: str) -> int:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
