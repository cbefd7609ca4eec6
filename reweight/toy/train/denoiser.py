"""Trains the embedded U-Net, with seven target blocks, and its text encoder: v-prediction, zero terminal SNR."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPTextModel

from ..distill.trajectory import Trajectory
from . import checkpoint
from .replay import Gradient
from .text import WIDTH
from .training_examples import Examples

SHAPE = "unet"  # the folder of the U-Net's configuration, beside its checkpoint
BATCH = {"cpu": 64, "cuda": 512}
SINGLES_FIRST = 0.3
PAIRS = 0.35  # the share of pictures with two subjects after that
Velocity = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]  # of x_t, t and token ids


def new_unet() -> UNet2DConditionModel:
    """Stable Diffusion's three stages with attention; its fourth would have only 2x2 positions for 16x16 latents."""
    return UNet2DConditionModel(
        sample_size=16, in_channels=8, out_channels=8, layers_per_block=1, block_out_channels=(64, 96, 128),
        norm_num_groups=16, cross_attention_dim=WIDTH, attention_head_dim=(2, 3, 4),
        down_block_types=("CrossAttnDownBlock2D",) * 3, up_block_types=("CrossAttnUpBlock2D",) * 3,
    )  # fmt: skip


def new_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=True, prediction_type="v_prediction", rescale_betas_zero_snr=True,
        timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip


class Denoiser(nn.Module):
    """The U-Net together with the text encoder, which are trained jointly."""

    def __init__(self, unet: UNet2DConditionModel, encoder: CLIPTextModel):
        super().__init__()
        self.unet, self.encoder = unet, encoder

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The velocity (n, c, h, w) at noisy latents of that shape, timesteps (n,) and a caption's token ids (n, 24)."""
        return self.unet(x_t, t, self.encoder(ids).last_hidden_state, return_dict=False)[0].float()


def draw_timesteps(n: int, device: str) -> torch.Tensor:
    """n stratified timesteps, (n,) int: half uniform, half concentrated in the middle, where shapes are decided."""
    i = torch.arange(n, device=device)
    u = (i + torch.rand(n, device=device)) / n
    middle = torch.sigmoid(torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))
    return (torch.where(i % 2 == 0, u, middle) * 1000).long().clamp(0, 999)


def v_loss(velocity: Velocity, way: Trajectory, latents, ids, t, noise) -> torch.Tensor:
    """Mean squared error of the velocity for latents (n, c, h, w) at timesteps t (n,)."""
    return F.mse_loss(velocity(way.noised(latents, noise, t), t, ids), way.velocity(latents, noise, t))


def train_denoiser(
    work: Path, examples: Examples, start: Denoiser, *, minutes: float, device: str, seed: int, on_progress
) -> Denoiser:
    """Train for `minutes` in total, including earlier runs, with checkpoints every three minutes; returns the averaged
    weights.

    The last HELD examples are used for validation. start: the initial networks, such as a new U-Net and the pre-trained
    text encoder.
    """
    start.unet.save_config(work / SHAPE)
    model = copy.deepcopy(start).to(device).train().requires_grad_(True)
    if device == "cpu":
        model.unet.set_attn_processor(AttnProcessor())
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-2, fused=True)
    training = checkpoint.Training(work / "unet.pt", optimizer, minutes=minutes, model=model, average=average)
    torch.manual_seed(seed * 1_000_003 + training.step)
    way = Trajectory(new_scheduler(), device)
    known, held = (part.to(device) for part in examples.split())

    def loss(pairs: float) -> torch.Tensor:
        latents, ids = known.draw(BATCH[device], pairs)
        with torch.autocast(device, torch.bfloat16):
            return v_loss(model, way, latents, ids, draw_timesteps(len(ids), device), torch.randn_like(latents))

    of_singles = Gradient(lambda: loss(0.0), optimizer, device)
    of_all = Gradient(lambda: loss(PAIRS), optimizer, device)
    recent = torch.zeros((), device=device)
    for step in training:
        value = of_singles() if training.fraction < SINGLES_FIRST else of_all()
        training.move()
        training.average("average", 0.9985)
        recent.lerp_(value, 1 / min(step + 1, 200))
        if step % 50 == 0:
            on_progress("U-Net", training.fraction, f"step {step}, loss {recent.item():.4f}")
        if training.due:
            training.save()
            text = f"step {step}, validation v-loss of the average {validation_loss(average, way, held):.4f}"
            on_progress("U-Net", training.fraction, text)
    return average


@torch.no_grad()
def validation_loss(velocity: Velocity, way: Trajectory, held: Examples) -> float:
    """The v-loss on each example's first caption, with fixed noise and evenly spaced timesteps."""
    generator, losses = torch.Generator().manual_seed(5), []
    for latents, ids in zip(held.latents.float().split(64), held.ids[:, 0].split(64), strict=True):
        t = ((torch.arange(len(ids)) + 0.5) / len(ids) * 1000).long().to(ids.device)
        noise = torch.randn(latents.shape, generator=generator).to(ids.device)
        losses.append(v_loss(velocity, way, latents, ids, t, noise).item())
    return float(np.mean(losses))
