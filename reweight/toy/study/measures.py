"""Measures of an arm: its loss on held-out pictures, and prompt adherence of its samples by the judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn

from ...models.loading import LoadedModel
from ...scoring.toy_scorer import ToyScorer
from ..distill.trajectory import GUIDANCE, Trajectory
from ..judges.classifier import HEADS, Judge, obeyed, unspoilt
from ..train.text import tokens
from ..world.scenes import Scene, draw_caption, parse
from .material import Material
from .pairs import noises

STEPS = 6  # of a base model, with guidance
SCENES_SEED, NOISE_SEED = 404, 29
LEVELS = 64  # timesteps, evenly spread
CHUNK = 32


@dataclass(frozen=True)
class Asked:
    """Captions of held-out combinations, and the initial noise shared by all arms.

    scenes: n of them, those with one subject first. states: (n, tokens, width). memory: (n, 96). noise: (n, c, h, w).
    """

    scenes: list[Scene]
    captions: list[str]
    states: torch.Tensor
    memory: torch.Tensor
    noise: torch.Tensor


@torch.inference_mode()
def asked(base: LoadedModel, scorer: ToyScorer, material: Material, singles: int, pairs: int) -> Asked:
    """The given numbers of scenes with one and with two subjects."""
    scenes = [*unspoilt(SCENES_SEED, singles, pairs=0.0).values(), *unspoilt(SCENES_SEED, pairs, pairs=1.0).values()]
    said = [_whole_caption(scene, i) for i, scene in enumerate(scenes)]
    states = base.pipe.text_encoder(tokens(base.pipe.tokenizer, said).to(base.device)).last_hidden_state.cpu().float()
    memory = material.remembered(torch.from_numpy(scorer.text_features(said)))
    return Asked(scenes, said, states, memory, noises(len(said), material.known.latents.shape[1:], NOISE_SEED))


def _whole_caption(scene: Scene, index: int) -> str:
    rng = np.random.default_rng([SCENES_SEED, index, 3])
    while parse(caption := draw_caption(scene, rng)) != scene:
        pass
    return caption


@torch.no_grad()
def v_losses(net: nn.Module, way: Trajectory, material: Material, device: str, own_memory: bool = False) -> np.ndarray:
    """Mean squared error of the velocity on each held-out picture, (n,); picture i is at noise level i modulo LEVELS.

    own_memory: a network with a memory gets the picture's own instead of the one retrieved by its caption.
    """
    held, losses = material.held, []
    noise = noises(len(held), held.latents.shape[1:], NOISE_SEED)
    memory = held.memory if own_memory else material.remembered(held.said[:, 0])
    for start in range(0, len(held), LEVELS):
        rows = slice(start, start + LEVELS)
        x, z, states, told = (
            part[rows].float().to(device) for part in (held.latents, noise, held.states[:, 0], memory)
        )
        t = timesteps_of(len(x)).to(device)
        with torch.autocast(device, torch.bfloat16):
            v = net(way.noised(x, z, t), t, states, told)
        losses.append((v.float() - way.velocity(x, z, t)).square().mean((1, 2, 3)).cpu())
    return torch.cat(losses).numpy()


def timesteps_of(n: int) -> torch.Tensor:
    """Timesteps of n held-out pictures, (n,) int."""
    return ((torch.arange(n) % LEVELS + 0.5) / LEVELS * 1000).long()


@torch.no_grad()
def one_step_errors(net: nn.Module, way: Trajectory, material: Material, ends: torch.Tensor, device: str) -> np.ndarray:
    """Mean squared error, (n,), between one step from noise i and the teacher's endpoint i (n, c, h, w)."""
    n, held, errors = len(ends), material.held, []
    noise, memory = noises(n, ends.shape[1:], NOISE_SEED), material.remembered(held.said[:, 0])
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        z, states, told = (part[rows].float().to(device) for part in (noise, held.states[:, 0], memory))
        t = torch.full((len(z),), 999, device=device)
        with torch.autocast(device, torch.bfloat16):
            v = net(z, t, states, told).float()
        errors.append((way.clean(z, v, t).cpu() - ends[rows]).square().mean((1, 2, 3)))
    return torch.cat(errors).numpy()


def guided_steps(way: Trajectory, blank: torch.Tensor) -> Callable:
    """Samples a base model: STEPS DDIM steps with guidance."""
    timesteps = (*(999 - round(1000 * i / STEPS) for i in range(STEPS)), -1)

    def draw(net: nn.Module, noise: torch.Tensor, states: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        told = torch.cat([blank.expand_as(states), states])
        remembered = torch.cat([torch.zeros_like(memory), memory])

        def velocity(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            without, given = net(torch.cat([x_t, x_t]), torch.cat([t, t]), told, remembered).chunk(2)
            return without + GUIDANCE * (given - without)

        return way.run(velocity, noise, timesteps)

    return draw


def two_steps(run: Callable) -> Callable:
    """Samples a student: two steps, without guidance."""

    def draw(net: nn.Module, noise: torch.Tensor, states: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return run(lambda x_t, t: net(x_t, t, states, memory), noise)

    return draw


@torch.no_grad()
def judged(net: nn.Module, draw: Callable, what: Asked, vae: AutoencoderKL, judge: Judge, device: str) -> dict:
    """The judge's reading of one sample per caption.

    obeyed: prompt adherence, the share of each caption's attributes that is recognised, (n,). subject: 1 where a single
    subject is recognised, else 0, (singles,).
    """
    answers = []
    for start in range(0, len(what.captions), CHUNK):
        rows = slice(start, start + CHUNK)
        with torch.autocast(device, torch.bfloat16):
            latents = draw(net, *(part[rows].to(device) for part in (what.noise, what.states, what.memory)))
            pictures = vae.decode(latents.float()).sample.float().clamp(-1, 1)
        seen = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        answers.append(judge.read(seen)[0])
    found, names = np.concatenate(answers), list(HEADS)
    subjects = HEADS["subject"]
    right = [
        float(subjects[row[names.index("subject")]] == scene.things[0].subject)
        for scene, row in zip(what.scenes, found, strict=True)
        if len(scene.things) == 1
    ]
    return {"obeyed": obeyed(what.captions, found).tolist(), "subject": right}
