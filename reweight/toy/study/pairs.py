"""Pairs of noise and the guided teacher's endpoint: reflow's training data, and the reference for students."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...models.loading import LoadedModel
from ..distill.trajectory import Teacher
from ..train.memmap import fill
from .material import Pictures

STEPS = 10  # of the teacher
CHUNK = 32
SEED = 11


def new_teacher(base: LoadedModel) -> Teacher:
    """The base model with guidance."""
    pipe = base.pipe
    return Teacher(pipe.unet, pipe.scheduler, pipe.tokenizer, pipe.text_encoder, base.device)


def noises(n: int, shape: tuple[int, ...], seed: int = SEED) -> torch.Tensor:
    """n initial noises, (n, c, h, w)."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def endpoints(path: Path, teacher: Teacher, pictures: Pictures, count: int, seed: int, on_progress) -> torch.Tensor:
    """Clean latents (count, c, h, w) after STEPS guided steps from noise i with the first caption of picture i."""
    shape = pictures.latents.shape[1:]
    timesteps = (*range(999, 0, -(1000 // STEPS)), -1)
    noise = noises(count, shape, seed)

    @torch.no_grad()
    def led(i: int) -> np.ndarray:
        rows = slice(i, min(i + CHUNK, count))
        states = pictures.states[rows, 0].float().to(teacher.device)
        with torch.autocast(teacher.device, torch.bfloat16):
            ends = teacher.way.run(
                lambda x_t, t: teacher.velocity(x_t, t, states), noise[rows].to(teacher.device), timesteps
            )
        on_progress(path.stem, rows.stop / count, f"{rows.stop} of {count}")
        return ends.cpu().numpy()

    found = fill(path, (count, *shape), np.float16, lambda start: map(led, range(start, count, CHUNK)))[:count]
    return torch.from_numpy(np.array(found)).float()
