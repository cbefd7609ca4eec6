"""The baseline: squared error of the velocity, AdamW, as the embedded model was trained."""

from __future__ import annotations

import torch

from ..arm import Arm, Batch


class Plain(Arm):
    key, title = "plain", "plain v-loss, AdamW"

    def weights(self, t: torch.Tensor) -> torch.Tensor:
        """Each example's weight in the loss, (n,), at timesteps t (n,)."""
        return torch.ones_like(t, dtype=torch.float32)

    def loss(self, batch: Batch) -> torch.Tensor:
        v = self.net(batch.x_t, batch.t, batch.states, batch.memory)
        errors = (v - self.way.velocity(batch.x, batch.noise, batch.t)).square().mean((1, 2, 3))
        return (self.weights(batch.t) * errors).mean()
