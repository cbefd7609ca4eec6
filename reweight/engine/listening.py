"""Listens to a scheduler while a picture is drawn: the predicted clean pictures, and previews made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any

import numpy as np
import torch
from PIL import Image

TOGETHER = 8  # latents decoded at once
FIRST, NEXT = 0.1, 0.5  # seconds until the first preview, and between previews

Heard = Callable[[torch.Tensor | None, torch.Tensor], object]
Listener = Callable[[Any], AbstractContextManager[Any]]


def listening(*heards: Heard) -> Listener:
    """A context for a pipeline in which each `heard(clean, latents)` is called after every scheduler step.

    clean: latents of the predicted clean picture x0, None if the scheduler does not give it. Pass it to `draw` as
    `beside`; the drawn picture stays the same.
    """

    @contextmanager
    def context(pipe: Any) -> Iterator[None]:
        scheduler = pipe.scheduler
        plain = scheduler.step

        @wraps(plain)  # pipelines inspect the signature to see which arguments, such as a generator, they can pass
        def step(
            model_output: Any, timestep: Any, sample: Any, *more: Any, return_dict: bool = True, **options: Any
        ) -> Any:
            output = plain(model_output, timestep, sample, *more, return_dict=True, **options)
            clean = getattr(output, "pred_original_sample", None)
            clean = getattr(output, "denoised", None) if clean is None else clean
            clean = _clean(scheduler, model_output, timestep, sample) if clean is None else clean
            for heard in heards:
                heard(None if clean is None else clean.detach(), output.prev_sample.detach())
            return output if return_dict else (output.prev_sample, clean)

        scheduler.step = step
        try:
            yield
        finally:
            del scheduler.step

    return context


def _clean(scheduler: Any, output: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor | None:
    """x0 from the model's output, for a variance-preserving scheduler; None for any other."""
    if not hasattr(scheduler, "alphas_cumprod") or getattr(scheduler.config, "use_karras_sigmas", False):
        return None
    a = scheduler.alphas_cumprod[int(timestep)].to(sample)
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return (sample - (1 - a).sqrt() * output) / a.sqrt()
    return a.sqrt() * sample - (1 - a).sqrt() * output if kind == "v_prediction" else output


def previews(pipe: Any, steps: int, shown: Callable[[int, Image.Image], object]) -> Heard:
    """For `listening`: calls `shown(step, image)` with the predicted picture from time to time.

    The first after FIRST seconds, then every NEXT seconds; none in the last steps, when the picture is almost finished.
    """
    calls, due = 0, time.perf_counter() + FIRST

    def heard(clean: torch.Tensor | None, now: torch.Tensor) -> None:
        nonlocal calls, due
        calls += 1
        step = -(-calls // getattr(pipe.scheduler, "order", 1))
        if clean is not None and time.perf_counter() >= due and step < steps - 2:
            shown(step, decoded(pipe, [clean])[0])
            due = time.perf_counter() + NEXT

    return heard


@torch.inference_mode()
def decoded(pipe: Any, latents: list[torch.Tensor]) -> list[Image.Image]:
    """Latents (1, channels, height, width) as pictures."""
    pictures: list[Image.Image] = []
    for first in range(0, len(latents), TOGETHER):
        together = torch.cat(latents[first : first + TOGETHER]) / pipe.vae.config.scaling_factor
        images = pipe.image_processor.postprocess(pipe.vae.decode(together.to(pipe.vae.dtype)).sample, output_type="np")
        pictures += [Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8)) for pixels in images]
    return pictures
