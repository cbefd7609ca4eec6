"""Consistency distillation: the same clean latents from every point of the guided teacher's trajectory.

Song et al. 2023, with guidance folded in as by Luo et al. 2023. The student's target is its own average one teacher's
step further along.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import DDIMScheduler, LCMScheduler

from .denoiser import BATCH, HELD
from .trajectory import GRID, Teacher, Trajectory, pseudo_huber
from .world import Scene, draw_caption


def consistency_loss(student, target, velocity, way: Trajectory, x, noise, i, states) -> torch.Tensor:
    """The student's clean latents at grid point i against its average's, one teacher's step later.

    velocity: the teacher's, called with x_t, t and states. x, noise: (n, c, h, w). i: (n,) indices into GRID.
    states: (n, tokens, width) of the prompt.
    """
    grid = torch.tensor([*GRID, -1], device=x.device)
    t, later = grid[i], grid[i + 1]
    x_t = way.noised(x, noise, t)
    with torch.no_grad():
        x_later = way.step(x_t, velocity(x_t, t, states), t, later)
        v_later = target(x_later, later.clamp_min(0), states, return_dict=False)[0].float()
        goal = way.clean(x_later, v_later, later)
    v = student(x_t, t, states, return_dict=False)[0].float()
    return pseudo_huber(way.clean(x_t, v, t) - goal)


class Consistency:
    """The loss on latents of pictures, (n, c, h, w), one for each scene; a quarter of every batch is pure noise."""

    def __init__(self, teacher: Teacher, latents: np.ndarray, scenes: list[Scene]):
        self.teacher, self.averages = teacher, {"target": teacher.copy()}
        self._latents, self._scenes = latents, scenes

    def loss(self, student, rng: np.random.Generator) -> torch.Tensor:
        """Of one batch drawn by `rng`."""
        device = self.teacher.device
        picked = rng.choice(len(self._scenes) - HELD, BATCH)
        x = torch.from_numpy(self._latents[picked]).float().to(device)
        noise = torch.from_numpy(rng.standard_normal(x.shape, np.float32)).to(device)
        i = torch.from_numpy(np.where(rng.random(BATCH) < 0.25, 0, rng.integers(0, len(GRID), BATCH))).to(device)
        states = self.teacher.states([draw_caption(self._scenes[row], rng) for row in picked])
        return consistency_loss(
            student, self.averages["target"], self.teacher.velocity, self.teacher.way, x, noise, i, states
        )

    @staticmethod
    def scheduler(base: DDIMScheduler) -> LCMScheduler:
        """Clean latents, new noise, and again, on the teacher's timesteps; at those its boundary scalings are 0 and 1."""
        return LCMScheduler.from_config(base.config, original_inference_steps=len(GRID))
