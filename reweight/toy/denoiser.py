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
        set_alpha_to_one=False, prediction_type="v_prediction", rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
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
    minutes: float, device: str, seed: int, compiled: bool, on_progress, start: UNet2DConditionModel | None = None,
) -> UNet2DConditionModel:  # fmt: skip
    """Train for `minutes` in all, restarts counted, with checkpoints every three minutes; returns the averaged weights.

    `latents`: (n, 8, 16, 16) float16, one for each scene; the last 512 are kept for validation. `start`: weights to
    go on from, as those of a model already published.
    """
    torch.manual_seed(seed)
    path = work / "unet.pt"
    scheduler = new_scheduler()
    unet = (copy.deepcopy(start) if start else new_unet()).to(device)
    unet.set_attn_processor(AttnProcessor())
    average = copy.deepcopy(unet).requires_grad_(False)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-2, fused=True)
    step, spent = 0, 0.0
    if saved := checkpoint.load(path):
        unet.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved["spent"]
    forward = torch.compile(unet) if compiled else unet
    rows = np.arange(len(scenes) - 512)
    singles = np.array([i for i in rows if len(scenes[i].things) == 1])
    clock, last = checkpoint.Clock(minutes, spent), spent
    rng, generator = np.random.default_rng([seed, 11, step]), torch.Generator().manual_seed(seed * 1_000_003 + step)
    recent = []
    while clock.fraction < 1:
        picked = rng.choice(singles if clock.fraction < SINGLES_FIRST else rows, BATCH)
        captions = ["" if rng.random() < DROPOUT else draw_caption(scenes[i], rng) for i in picked]
        x = torch.from_numpy(latents[picked]).float().to(device)
        t = draw_timesteps(BATCH, generator)
        noise = torch.randn(x.shape, generator=generator).to(device)
        for group in optimizer.param_groups:
            group["lr"] = checkpoint.learning_rate(1e-3, clock.fraction, step)
        with torch.no_grad():
            states = encoder(tokens(tokenizer, captions).to(device)).last_hidden_state
        with torch.autocast(device, torch.bfloat16):
            loss = v_loss(forward, scheduler, x, states, t.to(device), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        step += 1
        checkpoint.update_average(average, unet, min(0.9985, step / (step + 20)))
        recent.append(loss.item())
        if step % 50 == 0:
            on_progress("U-Net", clock.fraction, f"step {step}, loss {np.mean(recent[-200:]):.4f}")
        if clock.spent - last > 180 or clock.fraction >= 1:
            last = clock.spent
            checkpoint.save(path, model=unet.state_dict(), average=average.state_dict(),
                            optimizer=optimizer.state_dict(), step=step, spent=clock.spent)  # fmt: skip
            held = validation_loss(average, scheduler, latents[-512:], scenes[-512:], tokenizer, encoder, device)
            on_progress("U-Net", clock.fraction, f"step {step}, validation v-loss of the average {held:.4f}")
    return average


@torch.no_grad()
def validation_loss(unet, scheduler, latents, scenes, tokenizer, encoder, device) -> float:
    """The v-loss on fixed noise and evenly spread timesteps."""
    rng, generator, losses = np.random.default_rng(5), torch.Generator().manual_seed(5), []
    for i in range(0, len(scenes), 64):
        x = torch.from_numpy(latents[i : i + 64]).float().to(device)
        states = encoder(tokens(tokenizer, [draw_caption(s, rng) for s in scenes[i : i + 64]]).to(device))
        t = ((torch.arange(len(x)) + 0.5) / len(x) * 1000).long().to(device)
        noise = torch.randn(x.shape, generator=generator).to(device)
        losses.append(v_loss(unet, scheduler, x, states.last_hidden_state, t, noise).item())
    return float(np.mean(losses))
