"""The clean picture that a model predicts at every step, from one drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..methods.base import Drawing
from ..models.loading import LoadedModel
from .drawing import draw
from .request import Request

TOGETHER = 8  # latents decoded at once


def predictions(
    loaded: LoadedModel, request: Request, column: str, drawing: Drawing, *, noisy: bool = False,
    on_step: Callable[[int], object] = lambda step: None,
) -> list[Image.Image]:  # fmt: skip
    """T pictures: what the model takes the clean picture x0 to be after each step, or with noisy=True what is drawn on.

    ValueError of one sentence for a scheduler that does not say what it predicts.
    """
    latents: list[torch.Tensor] = []

    @contextmanager
    def listening(pipe: Any) -> Iterator[None]:
        scheduler = pipe.scheduler
        plain = scheduler.step

        def step(*inputs: Any, return_dict: bool = True, **options: Any) -> Any:
            output = plain(*inputs, return_dict=True, **options)
            clean = getattr(output, "pred_original_sample", None)
            clean = getattr(output, "denoised", None) if clean is None else clean
            if clean is None and not noisy:
                raise ValueError(
                    f"{type(scheduler).__name__} does not say what clean picture it predicts: choose another model."
                )
            latents.append((output.prev_sample if noisy else clean).detach())
            return output if return_dict else (output.prev_sample, clean)

        scheduler.step = step
        try:
            yield
        finally:
            del scheduler.step

    draw(loaded, request, column, drawing, on_step=on_step, beside=listening)
    order = getattr(loaded.pipe.scheduler, "order", 1)
    return _decoded(loaded.pipe, latents[order - 1 :: order])


@torch.inference_mode()
def _decoded(pipe: Any, latents: list[torch.Tensor]) -> list[Image.Image]:
    pictures: list[Image.Image] = []
    for first in range(0, len(latents), TOGETHER):
        together = torch.cat(latents[first : first + TOGETHER]) / pipe.vae.config.scaling_factor
        images = pipe.image_processor.postprocess(pipe.vae.decode(together.to(pipe.vae.dtype)).sample, output_type="np")
        pictures += [Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8)) for pixels in images]
    return pictures
