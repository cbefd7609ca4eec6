"""The teacher of distillation: the guided base model and its deterministic trajectory of twenty steps."""

from __future__ import annotations

import copy
import itertools

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from ..train.text import tokens

GRID = tuple(range(999, 0, -50))  # the teacher's timesteps, trailing
GUIDANCE = 3.0
HUBER = 0.1


class Trajectory:
    """Conversions between x_t, x_0 and velocity at given timesteps, for v-prediction; timestep -1 is the clean end."""

    def __init__(self, scheduler: DDIMScheduler, device: str):
        self._a = torch.cat([scheduler.alphas_cumprod.sqrt(), torch.ones(1)]).to(device)
        self.grid = torch.tensor([*GRID, -1], device=device)
        self._s = torch.cat([(1 - scheduler.alphas_cumprod).sqrt(), torch.zeros(1)]).to(device)

    def _at(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._a[t].view(-1, 1, 1, 1), self._s[t].view(-1, 1, 1, 1)

    def noised(self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_t, (n, c, h, w), for t (n,)."""
        a, s = self._at(t)
        return a * x + s * noise

    def velocity(self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The true velocity at x_t."""
        a, s = self._at(t)
        return a * noise - s * x

    def clean(self, x_t: torch.Tensor, v: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_0 from x_t and the velocity."""
        a, s = self._at(t)
        return a * x_t - s * v

    def step(self, x_t: torch.Tensor, v: torch.Tensor, t: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        """One deterministic DDIM step (Eq. 1) from t to another timestep."""
        a, s = self._at(t)
        return self.noised(a * x_t - s * v, s * x_t + a * v, to)

    def run(self, velocity, noise: torch.Tensor, timesteps) -> torch.Tensor:
        """DDIM from noise (n, c, h, w) through the timesteps; it ends at the last one.

        velocity: called with x_t and t (n,).
        """
        x = noise
        ts = [torch.full((len(noise),), t, device=noise.device) for t in timesteps]
        for t, later in itertools.pairwise(ts):
            x = self.step(x, velocity(x, t), t, later)
        return x


class Teacher:
    """The frozen base model with classifier-free guidance, on a device."""

    def __init__(
        self, unet: UNet2DConditionModel, scheduler: DDIMScheduler, tokenizer: CLIPTokenizer, encoder: CLIPTextModel,
        device: str,
    ):  # fmt: skip
        self.unet = unet.to(device).eval().requires_grad_(False)
        if device == "cpu":
            self.unet.set_attn_processor(AttnProcessor())
        self.way, self.device = Trajectory(scheduler, device), device
        self._encoder = encoder.to(device)
        self._blank = self.states(tokens(tokenizer, [""]))

    def copy(self) -> UNet2DConditionModel:
        """A frozen copy of the U-Net."""
        return copy.deepcopy(self.unet)

    @torch.no_grad()
    def states(self, ids: torch.Tensor) -> torch.Tensor:
        """Text embeddings, (n, tokens, width), of n captions given as token ids."""
        return self._encoder(ids.to(self.device)).last_hidden_state

    @torch.no_grad()
    def velocity(
        self, x_t: torch.Tensor, t: torch.Tensor, states: torch.Tensor, guidance: float = GUIDANCE
    ) -> torch.Tensor:
        """The guided velocity at x_t (n, c, h, w), t (n,)."""
        embeddings = torch.cat([self._blank.expand_as(states), states])
        both = self.unet(torch.cat([x_t, x_t]), torch.cat([t, t]), embeddings, return_dict=False)[0]
        unconditional, conditional = both.float().chunk(2)
        return unconditional + guidance * (conditional - unconditional)

    def endpoint(self, noise: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """The clean latents, (n, c, h, w), after twenty steps from noise."""
        return self.way.run(lambda x_t, t: self.velocity(x_t, t, states), noise, (*GRID, -1))


def pseudo_huber(difference: torch.Tensor) -> torch.Tensor:
    """The mean of sqrt(d^2 + c^2) - c: quadratic near zero, linear far from it."""
    return ((difference.square() + HUBER**2).sqrt() - HUBER).mean()
