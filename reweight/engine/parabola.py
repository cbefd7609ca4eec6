"""Proposition 1 on pictures that the model draws itself: how wrong the U-Net is about known noise, by a block's weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..models.loading import LoadedModel
from ..probing.proposition import Parabolas, proposition_1
from .drawing import draw, sentences
from .request import Request

PICTURES, TIMESTEP = 6, 349


def parabolas(
    loaded: LoadedModel, request: Request, check: Callable[[], object], on_step: Callable[[], object] | None = None
) -> Parabolas:
    """The parabolas of every block at TIMESTEP, on PICTURES vanilla pictures of a request from as many seeds.

    check: what it raises stops the work. on_step: called in its place between the steps of a drawing.
    """
    seeds = [(request.seed + i) % 2**32 for i in range(PICTURES)]
    images = draw(loaded, request, "vanilla", seeds=seeds, on_step=lambda step: (on_step or check)()).images
    vae = loaded.pipe.vae
    pixels = torch.from_numpy(np.stack([np.asarray(image, np.float32) for image in images])).permute(0, 3, 1, 2)
    with sentences(), torch.inference_mode():
        encoded = vae.encode((pixels / 127.5 - 1).to(loaded.pipe._execution_device, vae.dtype))
        mean = (
            encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latents
        )  # a small one has no spread
        latents = (mean - (getattr(vae.config, "shift_factor", None) or 0)) * vae.config.scaling_factor
        return proposition_1(
            loaded.pipe, [request.prompt] * PICTURES, latents, timesteps=[TIMESTEP], seed=request.seed, check=check
        )
