"""Trajectory distillation: the student's DDIM steps should reach the endpoint of the guided teacher's twenty steps.

Regression on precomputed pairs of noise and endpoint (Luhman & Luhman 2021), at every step that the student takes when
it samples in 1, 2 or 4 steps, from the latents that its own earlier steps produce.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler

from ..train.denoiser import BATCH, PAIRS
from ..train.memmap import fill
from ..train.training_examples import Examples
from .trajectory import Teacher, Trajectory, pseudo_huber

STEPS = (1, 2, 4)
CHUNK = 256


def trajectory_loss(student, way: Trajectory, noise, endpoint, states, steps: int) -> torch.Tensor:
    """The loss between the clean latents at each of the student's `steps` and the teacher's endpoint (n, c, h, w).

    Each step gets an equal share of the batch, and starts from the result of the student's earlier steps.
    """
    timesteps = range(999, 0, -(1000 // steps))
    x, starts, ts = noise, [], []
    for k, t in enumerate(timesteps):
        at = torch.full((len(x),), t, device=x.device)
        share = len(noise) // steps if k < steps - 1 else len(x)
        starts.append(x[:share])
        ts.append(at[:share])
        x, at = x[share:], at[share:]
        if len(x):
            with torch.no_grad():
                v = student(x, at, states[-len(x) :], return_dict=False)[0].float()
                x = way.step(x, v, at, at - 1000 // steps)
    x_t, t = torch.cat(starts), torch.cat(ts)
    v = student(x_t, t, states, return_dict=False)[0].float()
    return pseudo_huber(way.clean(x_t, v, t) - endpoint)


class Endpoints:
    """The loss on `count` pairs of noise and endpoint, which are computed first and stored at `path`."""

    rate, momentum = 3e-4, 0.9

    def __init__(self, teacher: Teacher, examples: Examples, path: Path, *, count: int, seed: int, on_progress):
        self.teacher, self.averages, self.learners = teacher, {}, {}
        config = teacher.unet.config
        shape = (config.in_channels, config.sample_size, config.sample_size)
        generator = torch.Generator().manual_seed(seed)
        self.noise = torch.randn(count, *shape, generator=generator).half().to(teacher.device)
        torch.manual_seed(seed)
        ids = torch.cat([examples.draw(CHUNK, PAIRS)[1] for _ in range(0, count, CHUNK)])
        self.ids = ids[:count].to(teacher.device)

        def made(start: int):
            for i in range(start, count, CHUNK):
                noise, states = self.noise[i : i + CHUNK].float(), teacher.states(self.ids[i : i + CHUNK])
                with torch.autocast(teacher.device, torch.bfloat16):
                    yield teacher.endpoint(noise, states).cpu().numpy()
                on_progress("endpoints", min(1.0, (i + CHUNK) / count), f"{min(i + CHUNK, count)} of {count}")

        ends = fill(path, (count, *shape), np.float16, made)[:count]
        self.ends = torch.from_numpy(ends).to(teacher.device)

    def loss(self, student) -> torch.Tensor:
        """The loss on one batch, sampled on the device, with an equal share for each number of steps."""
        rows = torch.randint(len(self.ends), (BATCH[self.teacher.device],), device=self.ends.device)
        parts = rows.tensor_split(len(STEPS))
        losses = [
            trajectory_loss(
                student, self.teacher.way, self.noise[part].float(), self.ends[part].float(),
                self.teacher.states(self.ids[part]), steps,
            )
            for part, steps in zip(parts, STEPS, strict=True)
        ]  # fmt: skip
        return sum(losses) / len(losses)

    @staticmethod
    def scheduler(base: DDIMScheduler) -> DDIMScheduler:
        """DDIM that ends at the clean latents."""
        return DDIMScheduler.from_config(base.config, set_alpha_to_one=True)
