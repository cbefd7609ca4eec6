"""Proposition 1 on the model's own pictures: the U-Net's error on known noise as a function of a block's weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..models.loading import LoadedModel
from ..probing.proposition import Parabolas, proposition_1
from .drawing import draw
from .fallbacks import sentences
from .request import Request

PICTURES, TIMESTEP = 6, 349


def parabolas(
    loaded: LoadedModel, request: Request, check: Callable[[], object], on_step: Callable[[], object] | None = None
) -> Parabolas:
    """The parabola of every block at TIMESTEP, from PICTURES vanilla pictures of a request with different seeds.

    check: called often; an exception that it raises stops the work. on_step: called after each denoising step instead.
    """
    seeds = [(request.seed + i) % 2**32 for i in range(PICTURES)]
    images = draw(loaded, request, "vanilla", seeds=seeds, on_step=lambda step: (on_step or check)()).images
    vae = loaded.pipe.vae
    pixels = torch.from_numpy(np.stack([np.asarray(image, np.float32) for image in images])).permute(0, 3, 1, 2)
    with sentences(), torch.inference_mode():
        encoded = vae.encode((pixels / 127.5 - 1).to(loaded.pipe._execution_device, vae.dtype))
        mean = (
            encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latents
        )  # small autoencoders give no distribution
        latents = (mean - (getattr(vae.config, "shift_factor", None) or 0)) * vae.config.scaling_factor
        return proposition_1(
            loaded.pipe, [request.prompt] * PICTURES, latents, timesteps=[TIMESTEP], seed=request.seed, check=check
        )
