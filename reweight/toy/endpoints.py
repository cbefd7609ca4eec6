"""Trajectory distillation: the student's own DDIM steps are to lead where the guided teacher's twenty led.

Plain regression on pairs of noise and endpoint made beforehand (Luhman & Luhman 2021), at every step that the student
takes when it samples in 1, 2 or 4 steps, and from the latents to which its own earlier steps brought it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler

from .denoiser import BATCH
from .memmap import fill
from .trajectory import Teacher, Trajectory, pseudo_huber
from .world import Scene, draw_caption

STEPS = (1, 2, 4)
CHUNK = 32


def trajectory_loss(student, way: Trajectory, noise, endpoint, states, steps: int, k: int) -> torch.Tensor:
    """The clean latents at step k, from 0, of the student's `steps` against the teacher's endpoint (n, c, h, w)."""

    def velocity(x_t, t):
        return student(x_t, t, states, return_dict=False)[0].float()

    timesteps = range(999, 0, -(1000 // steps))
    with torch.no_grad():
        x_t = way.run(velocity, noise, timesteps[: k + 1])
    t = torch.full((len(noise),), timesteps[k], device=noise.device)
    return pseudo_huber(way.clean(x_t, velocity(x_t, t), t) - endpoint)


class Endpoints:
    """The loss on `count` pairs of noise and endpoint, which are made first and kept at `path`."""

    def __init__(self, teacher: Teacher, scenes: list[Scene], path: Path, *, count: int, seed: int, on_progress):
        self.teacher, self.averages = teacher, {}
        config = teacher.unet.config
        self._shape = (config.in_channels, config.sample_size, config.sample_size)
        self._scenes, self._seed = scenes, seed

        def made(start: int):
            for i in range(start, count, CHUNK):
                noise, states = self._pairs(range(i, min(i + CHUNK, count)))
                with torch.autocast(teacher.device, torch.bfloat16):
                    yield teacher.endpoint(noise, states).cpu().numpy()
                on_progress("endpoints", min(1.0, (i + CHUNK) / count), f"{min(i + CHUNK, count)} of {count}")

        self._ends = fill(path, (count, *self._shape), np.float16, made)

    def _pairs(self, rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise (n, c, h, w) and the captions' states, always the same for a row."""
        rngs = [np.random.default_rng([self._seed, 17, int(row)]) for row in rows]
        noise = np.stack([rng.standard_normal(self._shape, np.float32) for rng in rngs])
        captions = [draw_caption(self._scenes[rng.integers(len(self._scenes))], rng) for rng in rngs]
        return torch.from_numpy(noise).to(self.teacher.device), self.teacher.states(captions)

    def loss(self, student, rng: np.random.Generator) -> torch.Tensor:
        """Of one batch drawn by `rng`."""
        rows = rng.choice(len(self._ends), BATCH)
        noise, states = self._pairs(rows)
        end = torch.from_numpy(self._ends[rows]).float().to(self.teacher.device)
        steps = int(rng.choice(STEPS))
        return trajectory_loss(student, self.teacher.way, noise, end, states, steps, int(rng.integers(steps)))

    @staticmethod
    def scheduler(base: DDIMScheduler) -> DDIMScheduler:
        """DDIM that ends at the clean latents."""
        return DDIMScheduler.from_config(base.config, set_alpha_to_one=True)
