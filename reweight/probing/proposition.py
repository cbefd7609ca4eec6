"""Proposition 1, measured: the error of a U-Net's noise prediction as a function of one block's weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..patching.blocks import as_unet, target_blocks
from ..patching.patch import BlockControl
from .arguments import checked_batch_size
from .probe_request import Trajectory
from .search import bootstrap_means, interval
from .teacher import ddim_of, record_teacher, stacked

WEIGHTS = (0.9, 0.95, 1.0, 1.05, 1.1)


@dataclass(frozen=True)
class Parabolas:
    """Var(eps - eps_hat) against w_i with all other blocks at 1, and the parabola through it (Eq. 4).

    Attributes:
        blocks: the m labels.
        timesteps: (T,), the measured timesteps.
        w: (K,), the weights.
        variance: (T, m, K), mean over the samples, in units of the noise's variance.
        minimum: (T, m), the weight at the fitted parabola's minimum; NaN if it has none.
        low, high: (T, m), its 95% bootstrap interval over the samples; NaN if a resample's parabola has no minimum.
        explained: (T, m), the share of the variance over w that the parabola explains.
        relative_low, relative_high: (T, m, K), 95% bootstrap interval over the samples of the variance relative to that
            at the weight next to 1, minus 1; 0 at that weight itself.
    """

    blocks: tuple[str, ...]
    timesteps: tuple[int, ...]
    w: np.ndarray
    variance: np.ndarray
    minimum: np.ndarray
    low: np.ndarray
    high: np.ndarray
    explained: np.ndarray
    relative_low: np.ndarray
    relative_high: np.ndarray


def proposition_1(
    pipe: Any,
    prompts: Sequence[str],
    latents: torch.Tensor,
    *,
    timesteps: Sequence[int],
    w: Sequence[float] = WEIGHTS,
    seed: int = 0,
    batch_size: int | None = None,
    check: Callable[[], object] | None = None,
) -> Parabolas:
    """Add known noise to clean latents, and measure Var(eps - eps_hat) for each block, weight and timestep.

    Without guidance. eps_hat is the noise computed from the U-Net's output, which may be epsilon, v or the sample. At a
    signal-to-noise ratio of 0 it is undefined, and the minimum is that of the output's own error, to which the error of
    eps_hat is proportional at all other timesteps.

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`; unchanged on return.
        prompts: n captions.
        latents: (n, channels, height, width), clean latents x_0, scaled as in training.
        timesteps: T timesteps, each in [0, the scheduler's training timesteps).
        w: K >= 3 different weights.
        seed: sample i gets the noise of seed + i; also the bootstrap's seed.
        batch_size: maximum number of U-Net samples in one call (default: enough to keep the device busy).
        check: called before every U-Net call; an exception that it raises stops the measurement.

    Raises:
        ValueError: fewer than 2 samples, another number of prompts, too few weights, or a timestep out of range.
        FloatingPointError: the model's output is NaN or infinite.
    """
    batch_size = checked_batch_size(batch_size)
    unet, ddim = as_unet(pipe), ddim_of(pipe.scheduler)
    blocks, grid, n = target_blocks(unet), np.asarray(w, dtype=float), len(latents)
    if n < 2 or len(prompts) != n:
        raise ValueError(f"There are {len(prompts)} prompts for {n} latents: give one for each, and at least 2.")
    if grid.ndim != 1 or len(np.unique(grid)) < 3 or not np.isfinite(grid).all():
        raise ValueError(f"A parabola needs at least 3 different weights, not {list(w)}.")
    if not timesteps or not all(0 <= t < ddim.config.num_train_timesteps for t in timesteps):
        raise ValueError(f"Timesteps lie in [0, {ddim.config.num_train_timesteps}), not {list(timesteps)}.")
    side = [length * pipe.vae_scale_factor for length in latents.shape[-2:]]
    teachers = [
        record_teacher(
            pipe,
            Trajectory(prompt=prompt, steps=1, seed=seed, guidance_scale=0.0, height=side[0], width=side[1]),
            check,
        )
        for prompt in prompts
    ]
    x_0 = latents.to(teachers[0].eps[0])
    eps = torch.cat([torch.randn(x_0[:1].shape, generator=torch.Generator().manual_seed(seed + i)) for i in range(n)])
    eps = eps.to(x_0)
    rows, which = _one_block_at_a_time(grid, len(blocks))
    raw = np.empty((n, len(timesteps), len(rows)))  # variance of the output's error
    size = batch_size or teachers[0].batch_size
    with torch.inference_mode(), BlockControl(unet) as control:
        for start in range(0, raw.size, size):
            i, t, row = np.unravel_index(np.arange(start, min(start + size, raw.size)), raw.shape)
            if check is not None:
                check()
            at = torch.as_tensor(np.asarray(timesteps)[t], device=x_0.device)
            x_t = ddim.add_noise(x_0[i], eps[i], at)
            inputs = stacked([teachers[j].inputs[0] for j in i], 1) | {"sample": x_t, "timestep": at}
            control.set(rows[row])
            output = unet(**inputs, return_dict=False)[0]
            error = output.float() - _target(ddim, x_0[i], eps[i], at).float()
            raw[i, t, row] = error.flatten(1).var(1, correction=0).cpu().numpy()
    if not np.isfinite(raw).all():
        t = timesteps[int(np.argwhere(~np.isfinite(raw))[0, 1])]
        raise FloatingPointError(f"The model's output is not a finite number at timestep {t}: load it in float32.")
    raw = raw[:, :, which]  # (n, T, m, K)
    coefficients = np.moveaxis(np.polyfit(grid, raw.reshape(-1, len(grid)).T, 2).reshape(3, *raw.shape[:3]), 0, -1)
    low, high = interval(_lowest(bootstrap_means(coefficients, seed)))
    means = bootstrap_means(raw, seed)  # (resamples, T, m, K)
    at_one = int(np.argmin(np.abs(grid - 1)))
    relative_low, relative_high = interval(means / means[..., at_one, None] - 1)
    mean, fitted = raw.mean(0), _parabola(coefficients.mean(0), grid)
    spread = np.square(mean - mean.mean(-1, keepdims=True)).sum(-1)
    return Parabolas(
        blocks=tuple(block.label for block in blocks),
        timesteps=tuple(int(t) for t in timesteps),
        w=grid,
        variance=mean * _share(ddim, timesteps)[:, None, None],
        minimum=_lowest(coefficients.mean(0)),
        low=low,
        high=high,
        explained=1 - np.square(mean - fitted).sum(-1) / np.where(spread > 0, spread, 1),
        relative_low=relative_low,
        relative_high=relative_high,
    )


def _one_block_at_a_time(grid: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of weights, (rows, m), and the index of the row of each (block, weight), (m, K)."""
    w = np.ones((m, len(grid), m))
    w[np.arange(m), :, np.arange(m)] = grid
    rows, which = np.unique(w.reshape(-1, m), axis=0, return_inverse=True)
    return rows, which.reshape(m, len(grid))


def _target(ddim: Any, x_0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    kind = ddim.config.prediction_type
    if kind == "v_prediction":
        return ddim.get_velocity(x_0, eps, t)
    return x_0 if kind == "sample" else eps


def _share(ddim: Any, timesteps: Sequence[int]) -> np.ndarray:
    """(T,) factors from the variance of the output's error to that of eps_hat."""
    alpha = ddim.alphas_cumprod.double().cpu().numpy()[np.asarray(timesteps)]
    kind = ddim.config.prediction_type
    if kind == "v_prediction":
        return alpha
    return alpha / (1 - alpha) if kind == "sample" else np.ones_like(alpha)


def _lowest(coefficients: np.ndarray) -> np.ndarray:
    """The minimum of a w^2 + b w + c: (..., 3) -> (...), NaN unless a > 0."""
    a, b, _ = np.moveaxis(coefficients, -1, 0)
    return np.where(a > 0, -b / np.where(a > 0, 2 * a, 1), np.nan)


def _parabola(coefficients: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(..., 3), (K,) -> (..., K)."""
    return coefficients @ np.vander(w, 3).T
