"""Consistency distillation: the student predicts the same clean latents from every point of the teacher's trajectory.

Song et al. 2023, with guidance distilled as in Luo et al. 2023. The target is the student's own moving average, one
teacher step further along.
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
    """The loss between the student's clean latents at grid point i and its average's, one teacher step later.

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
    """The consistency loss on examples; a quarter of every batch is pure noise.

    start: the student's initial network. batch: batch size. guidance: the teacher's.
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
        """The loss on one batch, sampled on the device."""
        x, ids = self._examples.draw(self._batch, PAIRS)
        n, device, way = len(ids), ids.device, self.teacher.way
        i = torch.where(torch.rand(n, device=device) < 0.25, 0, torch.randint(len(way.grid) - 1, (n,), device=device))
        velocity = partial(self.teacher.velocity, guidance=self._guidance)
        return consistency_loss(
            student, self.averages["target"], velocity, way, x, torch.randn_like(x), i, self.teacher.states(ids)
        )

    @staticmethod
    def scheduler(base: DDIMScheduler) -> LCMScheduler:
        """Multistep consistency sampling on the teacher's timesteps, where the boundary scalings are 0 and 1."""
        return LCMScheduler.from_config(base.config, original_inference_steps=len(GRID))
