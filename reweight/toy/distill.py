"""Distil the embedded model into `toy-turbo`: 1 to 4 steps, no guidance, by consistency distillation.

The student is to give the same clean latents from every point of the guided teacher's deterministic trajectory (Song et
al. 2023; with guidance folded in, Luo et al. 2023). Its target is its own average one step further along.
"""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from . import checkpoint
from .denoiser import BATCH, validation_batches
from .text import tokens
from .world import Scene, draw_caption

GRID = tuple(range(999, 0, -50))  # the teacher's timesteps, trailing
GUIDANCE = 3.0
HUBER = 0.1
TARGET_DECAY = 0.98


class Trajectory:
    """The schedule's algebra at timesteps, for v-prediction; -1 is the clean end."""

    def __init__(self, scheduler: DDIMScheduler, device: str):
        self._a = torch.cat([scheduler.alphas_cumprod.sqrt(), torch.ones(1)]).to(device)
        self._s = torch.cat([(1 - scheduler.alphas_cumprod).sqrt(), torch.zeros(1)]).to(device)

    def _at(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._a[t].view(-1, 1, 1, 1), self._s[t].view(-1, 1, 1, 1)

    def noised(self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_t, (n, c, h, w), for t (n,)."""
        a, s = self._at(t)
        return a * x + s * noise

    def clean(self, x_t: torch.Tensor, v: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The x_0 that a velocity at x_t means."""
        a, s = self._at(t)
        return a * x_t - s * v

    def step(self, x_t: torch.Tensor, v: torch.Tensor, t: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        """One deterministic DDIM step (Eq. 1) from t to another timestep."""
        a, s = self._at(t)
        return self.noised(a * x_t - s * v, s * x_t + a * v, to)


def pseudo_huber(difference: torch.Tensor) -> torch.Tensor:
    """sqrt(d^2 + c^2) - c, averaged: near zero a square, far from it an absolute value."""
    return ((difference.square() + HUBER**2).sqrt() - HUBER).mean()


@torch.no_grad()
def guided(teacher, x_t: torch.Tensor, t: torch.Tensor, states: torch.Tensor, blank: torch.Tensor) -> torch.Tensor:
    """The teacher's velocity under classifier-free guidance."""
    both = teacher(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([blank, states]), return_dict=False)[0]
    unconditional, conditional = both.float().chunk(2)
    return unconditional + GUIDANCE * (conditional - unconditional)


def consistency_loss(student, target, teacher, way: Trajectory, x, noise, i, states, blank) -> torch.Tensor:
    """The student's clean latents at grid point i against its average's, one teacher's step later.

    x, noise: (n, c, h, w). i: (n,) indices into GRID. states, blank: (n, tokens, width) of the prompt and of "".
    """
    grid = torch.tensor([*GRID, -1], device=x.device)
    t, later = grid[i], grid[i + 1]
    x_t = way.noised(x, noise, t)
    with torch.no_grad():
        x_later = way.step(x_t, guided(teacher, x_t, t, states, blank), t, later)
        v_later = target(x_later, later.clamp_min(0), states, return_dict=False)[0].float()
        goal = way.clean(x_later, v_later, later)
    v = student(x_t, t, states, return_dict=False)[0].float()
    return pseudo_huber(way.clean(x_t, v, t) - goal)


def train_turbo(
    work: Path, teacher: UNet2DConditionModel, scheduler: DDIMScheduler, latents: np.ndarray, scenes: list[Scene],
    tokenizer: CLIPTokenizer, encoder: CLIPTextModel, *, minutes: float, device: str, seed: int, on_progress,
) -> UNet2DConditionModel:  # fmt: skip
    """Train for `minutes` in all, restarts counted, with checkpoints every three minutes; returns the averaged weights.

    `latents`: (n, 8, 16, 16) float16, one for each scene; the last 512 are kept for validation.
    """
    torch.manual_seed(seed)
    way = Trajectory(scheduler, device)
    for part in (teacher, student := copy.deepcopy(teacher).requires_grad_(True)):
        part.to(device).set_attn_processor(AttnProcessor())
    teacher.eval().requires_grad_(False)
    target, average = (copy.deepcopy(student).requires_grad_(False) for _ in range(2))
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-4, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    training = checkpoint.Training(
        work / "turbo.pt", optimizer, minutes=minutes, model=student, target=target, average=average
    )
    with torch.no_grad():
        blank = encoder(tokens(tokenizer, [""] * BATCH).to(device)).last_hidden_state
    rng = np.random.default_rng([seed, 13, training.step])
    generator = torch.Generator().manual_seed(seed * 1_000_003 + training.step)
    recent = []
    for step in training:
        picked = rng.choice(len(scenes) - 512, BATCH)
        x = torch.from_numpy(latents[picked]).float().to(device)
        noise = torch.randn(x.shape, generator=generator).to(device)
        i = torch.from_numpy(np.where(rng.random(BATCH) < 0.25, 0, rng.integers(0, len(GRID), BATCH))).to(device)
        with torch.no_grad():
            captions = [draw_caption(scenes[row], rng) for row in picked]
            states = encoder(tokens(tokenizer, captions).to(device)).last_hidden_state
        with torch.autocast(device, torch.bfloat16):
            loss = consistency_loss(student, target, teacher, way, x, noise, i, states, blank)
        training.learn(loss)
        training.average("target", TARGET_DECAY)
        training.average("average", 0.998)
        recent = [*recent[-199:], loss.item()]
        if step % 50 == 0:
            on_progress("turbo", training.fraction, f"step {step}, loss {np.mean(recent):.4f}")
        if training.due:
            training.save()
            held = one_step_error(average, teacher, way, latents[-512:], scenes[-512:], tokenizer, encoder, device)
            text = f"step {step}, one step against the teacher's twenty: MSE {held:.4f}"
            on_progress("turbo", training.fraction, text)
    return average


@torch.no_grad()
def one_step_error(student, teacher, way: Trajectory, latents, scenes, tokenizer, encoder, device, count=16) -> float:
    """Mean squared error of the student's one-step latents against the guided teacher's whole trajectory."""
    _, states, noise = next(validation_batches(latents[:count], scenes[:count], tokenizer, encoder, device))
    blank = encoder(tokens(tokenizer, [""] * count).to(device)).last_hidden_state
    x = noise
    steps = [torch.full((count,), t, device=device) for t in (*GRID, -1)]
    for t, later in itertools.pairwise(steps):
        x = way.step(x, guided(teacher, x, t, states, blank), t, later)
    first = steps[0]
    guess = way.clean(noise, student(noise, first, states, return_dict=False)[0], first)
    return (guess - x).square().mean().item()
