"""Distil the embedded model into `toy-turbo`: 1 to 4 steps, no guidance, by one of three methods."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from ...models.loading import load_model
from ..train import checkpoint
from ..train.autoencoder import shipped
from ..train.replay import Gradient
from ..train.saving import coarsen, write_folder
from ..train.training_examples import read_examples
from .consistency import Consistency
from .endpoints import Endpoints
from .matching import Matching
from .trajectory import GRID, Teacher

Method = Literal["consistency", "trajectory", "matching"]
Objective = Consistency | Endpoints | Matching
TARGET_DECAY = 0.98
JUDGED = 16


def distill(
    work: Path, base: Path, folder: Path, *, method: Method, minutes: float, pairs: int, seed: int, device: str,
    on_progress, workers: int = 2, go_on: bool = False, keep: float = 0.0,
) -> None:  # fmt: skip
    """Train a student of the model in `base` on the latents in `work` and write it to `folder`.

    Checkpoints are stored in `work`, separately for each method and base, and training resumes from them. minutes: total
    training time, including earlier runs. pairs: the number of endpoints for the method "trajectory". go_on: start from
    the student in `folder` instead of from the teacher. keep: the share, 0 to 1, of the initial weights in the written
    ones (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). ValueError of one sentence if the latents are
    missing, incomplete or of another autoencoder.
    """
    loaded = load_model(str(base), device=device, dtype="float32", local=True)
    pipe = loaded.pipe
    latents = read_latents(work, pipe.vae)
    examples, held = read_examples(work, latents, pipe.tokenizer, seed=seed + 1, workers=workers).split()
    teacher = Teacher(pipe.unet, pipe.scheduler, pipe.tokenizer, pipe.text_encoder, device)
    start = teacher.copy()
    if go_on:
        start.load_state_dict(load_model(str(folder), dtype="float32", local=True).pipe.unet.state_dict())
    home = work / f"turbo-{loaded.revision}"
    home.mkdir(exist_ok=True)
    if method == "consistency":
        objective = Consistency(teacher, examples, start)
    elif method == "matching":
        objective = Matching(teacher, examples, start)
    else:
        objective = Endpoints(
            teacher, examples, home / "endpoints.npy", count=pairs, seed=seed, on_progress=on_progress
        )
    student = train_turbo(
        home / f"{method}.pt", objective, start, held.ids[:, 0], minutes=minutes, seed=seed, on_progress=on_progress
    )
    checkpoint.update_average(student, start, 1 - keep)
    coarsen(student)
    write_folder(
        folder, unet=student, vae=pipe.vae, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer,
        scheduler=objective.scheduler(pipe.scheduler),
    )  # fmt: skip


def read_latents(work: Path, vae: AutoencoderKL) -> np.ndarray:
    """The base model's training latents, (n, 8, 16, 16) float16, after checking that they are this vae's."""
    path, done = work / "latents.npy", work / "latents.done"
    if not path.is_file() or not (work / "vae").is_dir():
        raise ValueError("There are no latents in the work folder: train the base model there first.")
    latents = np.load(path, mmap_mode="c")
    if done.exists() and int(done.read_text(encoding="utf-8")) < len(latents):
        raise ValueError("The latents in the work folder are incomplete: continue the base model's training.")
    ours = AutoencoderKL.from_pretrained(shipped(work)).state_dict()
    encoder = {name: weight for name, weight in vae.state_dict().items() if not name.startswith(("decoder", "post_"))}
    if any(not torch.equal(ours[name].half(), weight.cpu().half()) for name, weight in encoder.items()):
        raise ValueError("The latents in the work folder are another autoencoder's: give the work folder of this base.")
    return latents


def train_turbo(
    path: Path, objective: Objective, start: UNet2DConditionModel, held: torch.Tensor, *, minutes: float, seed: int,
    on_progress,
) -> UNet2DConditionModel:  # fmt: skip
    """Train for `minutes` in total, including earlier runs, with checkpoints every three minutes; returns the averaged
    weights.

    path: the checkpoint. start: the student's initial network; its weights are replaced by the checkpoint's initial ones.
    held: token ids (n, 24) of captions on which the student is compared with its teacher at every checkpoint.
    """
    teacher = objective.teacher
    judged = Held(teacher, held[:JUDGED])
    student, average = copy.deepcopy(start).requires_grad_(True), copy.deepcopy(start)
    groups = [{"params": student.parameters(), "lr": objective.rate}]
    groups += [{"params": learner.parameters()} for learner in objective.learners.values()]
    betas = (objective.momentum, 0.98)
    optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=betas, weight_decay=0.0, fused=True)
    modules = {"model": student, "average": average, "start": start, **objective.averages, **objective.learners}
    training = checkpoint.Training(path, optimizer, minutes=minutes, **modules)
    torch.manual_seed(seed * 1_000_003 + training.step)

    def loss() -> torch.Tensor:
        with torch.autocast(teacher.device, torch.bfloat16):
            return objective.loss(student)

    gradient = Gradient(loss, optimizer, teacher.device)
    recent = torch.zeros((), device=teacher.device)
    for step in training:
        recent.lerp_(gradient(), 1 / min(step + 1, 200))
        training.move()
        for name in objective.averages:
            training.average(name, TARGET_DECAY)
        training.average("average", 0.998)
        if step % 50 == 0:
            on_progress("turbo", training.fraction, f"step {step}, loss {recent.item():.4f}")
        if training.due:
            training.save()
            text = f"step {step}, one step against the teacher's twenty: MSE {judged.error(average):.4f}"
            on_progress("turbo", training.fraction, text)
    if not training.step:
        raise ValueError("No training step was finished in that time: give the training more minutes.")
    return average


class Held:
    """Held-out captions with fixed noise, on which one step of the student is compared with twenty of the teacher."""

    def __init__(self, teacher: Teacher, ids: torch.Tensor):
        config = teacher.unet.config
        shape = (len(ids), config.in_channels, config.sample_size, config.sample_size)
        self._teacher = teacher
        self._noise = torch.randn(shape, generator=torch.Generator().manual_seed(5)).to(teacher.device)
        self._states = teacher.states(ids)

    @cached_property
    def _ends(self) -> torch.Tensor:
        return self._teacher.endpoint(self._noise, self._states)

    @torch.no_grad()
    def error(self, student: UNet2DConditionModel) -> float:
        """Mean squared error of the clean latents."""
        t = torch.full((len(self._noise),), GRID[0], device=self._teacher.device)
        v = student(self._noise, t, self._states, return_dict=False)[0]
        return (self._teacher.way.clean(self._noise, v, t) - self._ends).square().mean().item()
