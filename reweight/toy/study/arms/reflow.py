"""One reflow round with the improvements of Lee et al. 2024: U-shaped timesteps and a premetric of Huber and features.

A variance-preserving x_t is a rectified flow's (1 - tau) x + tau z but for a factor, at tau = s / (a + s); so the U-Net
keeps its v-prediction, and DDIM is Euler's method along the flow. In place of LPIPS, which is about pictures, the frozen
base model's features of the latents are compared.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F

from ..arm import Arm, Batch

STEEPNESS = 4.0  # of the U: density ~ exp(STEEPNESS tau) + exp(-STEEPNESS tau)
HUBER = 0.00054  # times the number of values of a picture


class Reflow(Arm):
    key, title, kind = "reflow", "reflow, U-shaped t, Huber and features", "student"
    paper = "Lee et al. 2024"

    def __init__(self, unet, material, device, noise, ends):
        super().__init__(unet, material, device)
        self._noise, self._ends = noise, ends  # (n, c, h, w), of known picture i's first caption
        self._eyes = copy.deepcopy(unet).requires_grad_(False).eval()
        a, s = self.way.noised(*_unit(True), torch.arange(1000)), self.way.noised(*_unit(False), torch.arange(1000))
        self._tau = (s / (a + s)).flatten()

    def loss(self, batch: Batch) -> torch.Tensor:
        n, device = len(batch.t), self.device
        rows = torch.randint(len(self._ends), (n,))
        tau, noise = u_shaped(n), self._noise[rows].to(device)
        t = torch.searchsorted(self._tau.cpu(), tau).clamp(0, 999).to(device)
        x, states = self._ends[rows].to(device), self.material.known.states[rows, 0].float().to(device)
        x_t = self.way.noised(x, noise, t)
        v = self.net(x_t, t, states, None)
        found = self.way.clean(x_t, v, t)
        a_s = self.way.noised(
            torch.ones_like(x), torch.ones_like(x), t
        )  # a + s: the flow's velocity error is (a + s) ours
        error = (v - self.way.velocity(x, noise, t)) * a_s
        tau = tau.to(device)
        return ((1 - tau) * huber(error) + self._unlike(found, x)).mean()

    def _unlike(self, found: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """How features of clean latents (n, c, h, w) differ, (n,), as LPIPS does: unit vectors, squared differences."""
        with torch.no_grad():
            theirs = self._features(x)
        pairs = zip(self._features(found), theirs, strict=True)
        return sum((F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2)) for a, b in pairs)

    def _features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the frozen base model's way down makes of clean latents."""
        eyes, n = self._eyes, len(x)
        emb = eyes.time_embedding(eyes.time_proj(torch.zeros(n, device=x.device)))
        blank, h, seen = self.material.blank.to(x.device).expand(n, -1, -1), eyes.conv_in(x), []
        for block in eyes.down_blocks:
            h, skips = block(h, emb, encoder_hidden_states=blank)
            seen.append(skips[0].float())
        return seen

    def two_steps(self, velocity, noise: torch.Tensor) -> torch.Tensor:
        """Two of Euler's steps along the flow."""
        return self.way.run(velocity, noise, (999, 499, -1))


def huber(error: torch.Tensor) -> torch.Tensor:
    """sqrt(|e|^2 + c^2) - c of each error (n, ...) as a whole, over the root of its size: (n,)."""
    flat = error.flatten(1)
    size = flat.shape[1]
    c = HUBER * size
    return ((flat.square().sum(1) + c * c).sqrt() - c) / math.sqrt(size)


def u_shaped(n: int) -> torch.Tensor:
    """n draws in (0, 1), (n,): stratified, half of them crowded at either end."""
    u, b = (torch.arange(n) + torch.rand(n)) / n, STEEPNESS
    folded = -torch.log1p(-(2 * u).remainder(1) * (1 - math.exp(-b))) / b
    return torch.where(u < 0.5, folded, 1 - folded)


def _unit(signal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    one, zero = torch.ones(1000, 1, 1, 1), torch.zeros(1000, 1, 1, 1)
    return (one, zero) if signal else (zero, one)
