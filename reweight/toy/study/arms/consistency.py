"""The plain consistency loss by which the turbo model began (Song et al. 2023): the baseline of the students."""

from __future__ import annotations

import copy

import torch

from ...distill.consistency import consistency_loss
from ...train.checkpoint import update_average
from ..arm import Arm, Batch

TARGET_DECAY = 0.98


class Consistency(Arm):
    key, title, kind = "consistency", "consistency loss", "student"
    paper = "Song et al. 2023"

    def __init__(self, unet, material, device, teacher):
        super().__init__(unet, material, device)
        self._teacher = teacher
        self.kept["target"] = copy.deepcopy(unet).requires_grad_(False)

    def loss(self, batch: Batch) -> torch.Tensor:
        n, grid = len(batch.t), self.way.grid
        i = torch.where(torch.rand(n) < 0.25, 0, torch.randint(len(grid) - 1, (n,))).to(self.device)
        states = torch.where(batch.told[:, None, None], batch.states, self.material.blank.to(self.device))
        return consistency_loss(
            self.net.unet, self.kept["target"], self._teacher.velocity, self.way, batch.x, batch.noise, i, states
        )

    def moved(self, step: int) -> None:
        update_average(self.kept["target"], self.net.unet, min(TARGET_DECAY, step / (step + 20)))

    def two_steps(self, velocity, noise: torch.Tensor) -> torch.Tensor:
        """Clean latents, new noise, and again."""
        ts = [torch.full((len(noise),), t, device=noise.device) for t in (999, 499)]
        x = self.way.clean(noise, velocity(noise, ts[0]), ts[0])
        x_t = self.way.noised(x, noise.roll(1, 0), ts[1])
        return self.way.clean(x_t, velocity(x_t, ts[1]), ts[1])
