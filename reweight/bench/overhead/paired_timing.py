"""The cost of re-weighting and FreeU relative to vanilla, with methods interleaved and the same noise."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ...methods.freeu import FreeU, freeu
from ...patching.blocks import target_blocks
from ...patching.patch import reweighted
from ..stats.intervals import bootstrap
from .peak_memory import peak

VANILLA, REWEIGHTED, FREEU = METHODS = ("vanilla", "re-weighted", "FreeU")
PROMPT = "a photo of a red apple on a wooden table"


@dataclass(frozen=True)
class Cost:
    """The measured cost of one method.

    seconds: wall-clock time of each repetition, including entering and leaving the method. cpu_seconds: processor time,
    which other programs affect less. megabytes: peak memory in addition to the model's, None if unknown. ratio,
    cpu_ratio: to vanilla in the same round, median with 95% bootstrap interval.
    """

    method: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    megabytes: float | None
    ratio: tuple[float, float, float]
    cpu_ratio: tuple[float, float, float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"median_seconds": float(np.median(self.seconds))}


def draw(
    pipe: Any,
    method: AbstractContextManager[Any] | None = None,
    *,
    side: int,
    steps: int = 1,
    batch: int = 1,
    seed: int = 0,
) -> torch.Tensor:
    """Latents (batch, 4, side, side) on the CPU, drawn without guidance; method: its context, None for vanilla."""
    noise = [torch.Generator().manual_seed(seed + i) for i in range(batch)]
    pixels = side * pipe.vae_scale_factor
    with method or nullcontext(), torch.inference_mode():
        return pipe(
            PROMPT, num_inference_steps=steps, guidance_scale=0.0, num_images_per_prompt=batch, height=pixels,
            width=pixels, generator=noise, output_type="latent",
        ).images.cpu()  # fmt: skip


def costs(
    pipe: Any,
    settings: FreeU,
    *,
    side: int,
    steps: int = 1,
    batch: int = 1,
    repeats: int = 9,
    low: float = 0.98,
    high: float = 1.1,
    on_progress: Callable[[str, float], object] = lambda *_: None,
) -> tuple[Cost, ...]:
    """The cost of each of METHODS, interleaved in rounds that each start with another method.

    settings: FreeU's. side: the latent's. low, high: the range of the random weights (steps, m). ValueError for fewer
    than one repetition.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}.")
    weights = np.random.default_rng(0).uniform(low, high, (steps, len(target_blocks(pipe.unet))))
    contexts: dict[str, Callable[[], AbstractContextManager[Any] | None]] = {
        VANILLA: lambda: None,
        REWEIGHTED: lambda: reweighted(pipe, weights),
        FREEU: lambda: freeu(pipe, **asdict(settings)),
    }

    def one(method: str) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        draw(pipe, contexts[method](), side=side, steps=steps, batch=batch)
        return time.perf_counter() - wall, time.process_time() - cpu

    device = pipe.unet.device.type
    one(VANILLA)
    megabytes = {method: peak(lambda method=method: one(method), device)[1] for method in METHODS}
    taken: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
    for turn in range(repeats):
        for number in range(len(METHODS)):
            method = METHODS[(turn + number) % len(METHODS)]
            on_progress(method, (turn * len(METHODS) + number) / (repeats * len(METHODS)))
            taken[method].append(one(method))
    seconds = {method: np.array(rows).T for method, rows in taken.items()}  # (wall and processor, repeats)
    return tuple(
        Cost(
            method,
            *(tuple(row.tolist()) for row in seconds[method]),
            megabytes[method],
            *(_typical(ratios) for ratios in seconds[method] / seconds[VANILLA]),
        )
        for method in METHODS
    )


def _typical(ratios: np.ndarray) -> tuple[float, float, float]:
    return float(np.median(ratios)), *bootstrap(np.median, ratios, draws=1000)
