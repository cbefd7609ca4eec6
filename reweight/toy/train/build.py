"""The stages of building the embedded base model, and its export as a diffusers folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from ..distill.endpoints import Endpoints
from ..distill.trajectory import Teacher
from ..world.dataset import render
from . import checkpoint
from .autoencoder import SHARPENED, sharpen, shipped, to_tensor, train_autoencoder
from .denoiser import SHAPE, Denoiser, new_scheduler, new_unet, train_denoiser
from .memmap import fill
from .saving import write_folder
from .text import new_text_encoder, train_text_encoder
from .tokenizer import build_tokenizer
from .training_examples import read_examples

DRAWN = 512
FEWEST = 2000


@dataclass(frozen=True)
class Plan:
    """The size of a build. minutes_*: total training time, including earlier runs. pictures: rendered and encoded."""

    pictures: int = 32000
    minutes_text: float = 3
    minutes_autoencoder: float = 46
    minutes_unet: float = 180
    minutes_sharpen: float = 130
    seed: int = 0
    workers: int = 2


def train(work: Path, art: Path, plan: Plan, device: str, on_progress, start: Path | None = None) -> None:
    """Run the stages that are not finished in `work`, each with its own checkpoints, from which it resumes.

    start: a published model whose tokenizer and autoencoder are kept, and whose text encoder and U-Net are trained
    further. ValueError of one sentence for too few pictures.
    """
    if plan.pictures < FEWEST:
        raise ValueError(f"{plan.pictures} pictures are too few for training: give at least {FEWEST}.")
    work.mkdir(parents=True, exist_ok=True)

    def rendered(done: int, count: int) -> None:
        on_progress("pictures", done / count, f"{done} rendered")

    pictures = render(
        work / "pictures.npy", plan.pictures, art=art, seed=plan.seed + 1, workers=plan.workers, on_progress=rendered
    )[: plan.pictures]
    if start is not None and not (work / "vae").is_dir():
        for part in ("tokenizer", "text_encoder", "vae"):
            shutil.copytree(start / part, work / part)
    if not (work / "tokenizer").is_dir():
        build_tokenizer().save_pretrained(work / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    if not (work / "text_encoder").is_dir():
        encoder = train_text_encoder(
            work, tokenizer, minutes=plan.minutes_text, device=device, seed=plan.seed, on_progress=on_progress
        )
        encoder.save_pretrained(work / "text_encoder")
    if not (work / "vae").is_dir():
        vae = train_autoencoder(
            work, pictures, minutes=plan.minutes_autoencoder, device=device, seed=plan.seed, on_progress=on_progress
        )
        vae.save_pretrained(work / "vae")
    latents = encode(work, pictures, device, on_progress)
    examples = read_examples(work, latents, tokenizer, seed=plan.seed + 1, workers=plan.workers)
    torch.manual_seed(plan.seed)
    begin = Denoiser(
        UNet2DConditionModel.from_pretrained(start / "unet") if start is not None else new_unet(),
        CLIPTextModel.from_pretrained(work / "text_encoder"),
    ).float()
    model = train_denoiser(
        work, examples, begin, minutes=plan.minutes_unet, device=device, seed=plan.seed, on_progress=on_progress
    )
    if plan.minutes_sharpen and not (work / SHARPENED).is_dir():
        teacher = Teacher(model.unet, new_scheduler(), tokenizer, model.encoder, device)
        drawn = Endpoints(
            teacher, examples, work / "drawn.npy", count=DRAWN, seed=plan.seed, on_progress=on_progress
        ).ends  # fmt: skip
        vae = sharpen(
            work, AutoencoderKL.from_pretrained(work / "vae"), pictures, latents, drawn.cpu().numpy(),
            minutes=plan.minutes_sharpen, device=device, seed=plan.seed, on_progress=on_progress,
        )  # fmt: skip
        vae.save_pretrained(work / SHARPENED)


@torch.inference_mode()
def encode(work: Path, pictures: np.ndarray, device: str, on_progress) -> np.ndarray:
    """The latents of all pictures, (n, 8, 16, 16) float16; computed once, resuming after the last complete chunk."""
    chunk = 1280

    def made(start: int):
        vae = AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
        for i in range(start, len(pictures), chunk):
            part = pictures[i : i + chunk]
            with torch.autocast(device, torch.bfloat16):
                modes = [
                    vae.encode(to_tensor(part[k : k + 64], device)).latent_dist.mode().float()
                    for k in range(0, len(part), 64)
                ]
            yield torch.cat(modes).cpu().numpy()
            on_progress("latents", (i + len(part)) / len(pictures), f"{i + len(part)} encoded")

    return fill(work / "latents.npy", (len(pictures), 8, 16, 16), np.float16, made)[: len(pictures)]


def export(work: Path, folder: Path) -> None:
    """Write the model's folder from the averaged weights of the last checkpoint. ValueError if there is none."""
    saved = checkpoint.load(work / "unet.pt")
    if saved is None:
        raise ValueError("There is no U-Net checkpoint to export yet: train first.")
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(work / SHAPE))
    model = Denoiser(unet, new_text_encoder(tokenizer))
    model.load_state_dict(saved["average"])
    write_folder(
        folder, unet=model.unet, vae=AutoencoderKL.from_pretrained(shipped(work)), text_encoder=model.encoder,
        tokenizer=tokenizer, scheduler=new_scheduler(),
    )  # fmt: skip
