"""Train the embedded model's U-Net: v-prediction on latents, zero terminal SNR, Stable Diffusion's seven target blocks."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from . import checkpoint
from .text import WIDTH, tokens
from .world import Scene, draw_caption

BATCH = 64
DROPOUT = 0.1
HELD = 512  # the last latents, kept for validation
SINGLES_FIRST = 0.70


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16, in_channels=8, out_channels=8, layers_per_block=1, block_out_channels=(64, 96, 96, 128),
        norm_num_groups=16, cross_attention_dim=WIDTH, attention_head_dim=(2, 3, 3, 4),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )  # fmt: skip


def new_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=True, prediction_type="v_prediction", rescale_betas_zero_snr=True,
        timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip


def draw_timesteps(n: int, generator: torch.Generator) -> torch.Tensor:
    """n stratified timesteps, (n,) int: half of them uniform, half crowded about the middle, where shapes are decided."""
    u = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    middle = torch.sigmoid(torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))
    return (torch.where(torch.arange(n) % 2 == 0, u, middle) * 1000).long().clamp(0, 999)


def v_loss(unet, scheduler, latents, states, t, noise) -> torch.Tensor:
    """Mean squared error of the predicted velocity for latents (n, 8, 16, 16) at timesteps t (n,)."""
    target = scheduler.get_velocity(latents, noise, t)
    return F.mse_loss(unet(scheduler.add_noise(latents, noise, t), t, states, return_dict=False)[0].float(), target)


def train_unet(
    work: Path, latents: np.ndarray, scenes: list[Scene], tokenizer: CLIPTokenizer, encoder: CLIPTextModel, *,
    minutes: float, device: str, seed: int, on_progress, start: UNet2DConditionModel | None = None,
) -> UNet2DConditionModel:  # fmt: skip
    """Train for `minutes` in all, restarts counted, with checkpoints every three minutes; returns the averaged weights.

    `latents`: (n, 8, 16, 16) float16, one for each scene; the last HELD are kept for validation. `start`: weights to
    go on from, as those of a model already published.
    """
    torch.manual_seed(seed)
    scheduler = new_scheduler()
    unet = (copy.deepcopy(start) if start else new_unet()).to(device)
    unet.set_attn_processor(AttnProcessor())
    average = copy.deepcopy(unet).requires_grad_(False)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-2, fused=True)
    training = checkpoint.Training(work / "unet.pt", optimizer, minutes=minutes, model=unet, average=average)
    rows = np.arange(len(scenes) - HELD)
    singles = np.array([i for i in rows if len(scenes[i].things) == 1])
    rng = np.random.default_rng([seed, 11, training.step])
    generator = torch.Generator().manual_seed(seed * 1_000_003 + training.step)
    recent = []
    for step in training:
        picked = rng.choice(singles if training.fraction < SINGLES_FIRST else rows, BATCH)
        captions = ["" if rng.random() < DROPOUT else draw_caption(scenes[i], rng) for i in picked]
        x = torch.from_numpy(latents[picked]).float().to(device)
        t = draw_timesteps(BATCH, generator)
        noise = torch.randn(x.shape, generator=generator).to(device)
        with torch.no_grad():
            states = encoder(tokens(tokenizer, captions).to(device)).last_hidden_state
        with torch.autocast(device, torch.bfloat16):
            loss = v_loss(unet, scheduler, x, states, t.to(device), noise)
        training.learn(loss)
        training.average("average", 0.9985)
        recent = [*recent[-199:], loss.item()]
        if step % 50 == 0:
            on_progress("U-Net", training.fraction, f"step {step}, loss {np.mean(recent):.4f}")
        if training.due:
            training.save()
            held = validation_loss(average, scheduler, latents[-HELD:], scenes[-HELD:], tokenizer, encoder, device)
            text = f"step {step}, validation v-loss of the average {held:.4f}"
            on_progress("U-Net", training.fraction, text)
    return average


@torch.no_grad()
def validation_batches(latents, scenes, tokenizer, encoder, device):
    """Batches of at most 64: latents, the text's states, and noise, the same each time."""
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(5)
    for i in range(0, len(scenes), 64):
        x = torch.from_numpy(latents[i : i + 64]).float().to(device)
        captions = [draw_caption(scene, rng) for scene in scenes[i : i + 64]]
        states = encoder(tokens(tokenizer, captions).to(device)).last_hidden_state
        yield x, states, torch.randn(x.shape, generator=generator).to(device)


@torch.no_grad()
def validation_loss(unet, scheduler, latents, scenes, tokenizer, encoder, device) -> float:
    """The v-loss on fixed noise and evenly spread timesteps."""
    losses = []
    for x, states, noise in validation_batches(latents, scenes, tokenizer, encoder, device):
        t = ((torch.arange(len(x)) + 0.5) / len(x) * 1000).long().to(device)
        losses.append(v_loss(unet, scheduler, x, states, t, noise).item())
    return float(np.mean(losses))
