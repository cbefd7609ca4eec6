"""Consistency distillation: the same clean latents from every point of the guided teacher's trajectory.

Song et al. 2023, with guidance folded in as by Luo et al. 2023. The student's target is its own average one teacher's
step further along.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from diffusers import DDIMScheduler, LCMScheduler, UNet2DConditionModel

from ..train.denoiser import BATCH, PAIRS
from ..train.training_examples import Examples
from .trajectory import GRID, GUIDANCE, Teacher, Trajectory, pseudo_huber


def consistency_loss(student, target, velocity, way: Trajectory, x, noise, i, states) -> torch.Tensor:
    """The student's clean latents at grid point i against its average's, one teacher's step later.

    velocity: the teacher's, called with x_t, t and states. x, noise: (n, c, h, w). i: (n,) indices into GRID.
    states: (n, tokens, width) of the prompt.
    """
    t, later = way.grid[i], way.grid[i + 1]
    x_t = way.noised(x, noise, t)
    with torch.no_grad():
        x_later = way.step(x_t, velocity(x_t, t, states), t, later)
        v_later = target(x_later, later.clamp_min(0), states, return_dict=False)[0].float()
        goal = way.clean(x_later, v_later, later)
    v = student(x_t, t, states, return_dict=False)[0].float()
    return pseudo_huber(way.clean(x_t, v, t) - goal)


class Consistency:
    """The loss on examples; a quarter of every batch is pure noise.

    start: what the student begins as. batch: how many examples at once; guidance: the teacher's.
    """

    rate, momentum = 3e-4, 0.9

    def __init__(
        self, teacher: Teacher, examples: Examples, start: UNet2DConditionModel, batch: int | None = None,
        guidance: float = GUIDANCE,
    ):  # fmt: skip
        self.teacher, self.averages, self.learners = teacher, {"target": copy.deepcopy(start)}, {}
        self._examples = examples.to(teacher.device)
        self._batch, self._guidance = batch or BATCH[teacher.device], guidance

    def loss(self, student) -> torch.Tensor:
        """Of one batch, drawn on the device."""
        x, ids = self._examples.draw(self._batch, PAIRS)
        n, device, way = len(ids), ids.device, self.teacher.way
        i = torch.where(torch.rand(n, device=device) < 0.25, 0, torch.randint(len(way.grid) - 1, (n,), device=device))
        velocity = partial(self.teacher.velocity, guidance=self._guidance)
        return consistency_loss(
            student, self.averages["target"], velocity, way, x, torch.randn_like(x), i, self.teacher.states(ids)
        )

    @staticmethod
    def scheduler(base: DDIMScheduler) -> LCMScheduler:
        """Clean latents, new noise, and again, on the teacher's timesteps; at those its boundary scalings are 0 and 1."""
        return LCMScheduler.from_config(base.config, original_inference_steps=len(GRID))
