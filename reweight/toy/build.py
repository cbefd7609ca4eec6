"""The stages of building the embedded model, and the ordinary diffusers folder that comes out."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from . import checkpoint
from .autoencoder import to_tensor, train_autoencoder
from .dataset import render, scene_at
from .denoiser import new_scheduler, new_unet, train_unet
from .text import train_text_encoder
from .tokenizer import build_tokenizer
from .world import vocabulary

SHARD = "9MB"


@dataclass(frozen=True)
class Plan:
    """How much of everything. minutes_*: training time in all, restarts counted. pictures: rendered and encoded."""

    pictures: int = 26400
    minutes_text: float = 3
    minutes_autoencoder: float = 24
    minutes_unet: float = 76
    seed: int = 0
    workers: int = 2


def train(work: Path, art: Path, plan: Plan, device: str, on_progress, start: Path | None = None) -> None:
    """Run the stages that are not done yet in `work`, each with its own checkpoints: kill it and call it again.

    start: a published model whose tokenizer, text encoder and autoencoder are kept and whose U-Net is trained on.
    """
    work.mkdir(parents=True, exist_ok=True)

    def rendered(done: int, count: int) -> None:
        on_progress("pictures", done / count, f"{done} rendered")

    pictures = render(
        work / "pictures.npy", plan.pictures, art=art, seed=plan.seed + 1, workers=plan.workers, on_progress=rendered
    )
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
    encoder = CLIPTextModel.from_pretrained(work / "text_encoder").to(device).eval()
    scenes = [scene_at(plan.seed + 1, i) for i in range(plan.pictures)]
    before = UNet2DConditionModel.from_pretrained(start / "unet") if start is not None else None
    unet = train_unet(
        work, latents, scenes, tokenizer, encoder, minutes=plan.minutes_unet, device=device, seed=plan.seed,
        on_progress=on_progress, start=before,
    )  # fmt: skip
    unet.save_pretrained(work / "unet")


@torch.inference_mode()
def encode(work: Path, pictures: np.ndarray, device: str, on_progress) -> np.ndarray:
    """The latents of all pictures, (n, 8, 16, 16) float16; made once, resumed after the last whole chunk."""
    path, done = work / "latents.npy", work / "latents.done"
    first = int(done.read_text()) if done.exists() else 0
    shape = (len(pictures), 8, 16, 16)
    latents = np.lib.format.open_memmap(path, mode="r+" if first else "w+", dtype=np.float16, shape=shape)
    if first >= len(pictures):
        return latents
    vae = AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
    with torch.autocast(device, torch.bfloat16):
        for i in range(first, len(pictures), 64):
            posterior = vae.encode(to_tensor(pictures[i : i + 64], device)).latent_dist
            latents[i : i + 64] = posterior.mode().float().cpu().numpy()
            if i // 64 % 20 == 0:
                latents.flush()
                done.write_text(str(i))
                on_progress("latents", i / len(pictures), f"{i} encoded")
    latents.flush()
    done.write_text(str(len(pictures)))
    return latents


def export(work: Path, folder: Path) -> None:
    """Write the model as a diffusers folder in half precision, from the averaged weights of the last checkpoint.

    Every file stays under 10 MB, and SHA256SUMS.json lists the checksum of every weight file.
    """
    saved = checkpoint.load(work / "unet.pt")
    if saved is None:
        raise ValueError("There is no U-Net checkpoint to export yet: train first.")
    unet = new_unet()
    unet.load_state_dict(saved["average"])
    scheduler: DDIMScheduler = new_scheduler()
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(work / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(work / "tokenizer"),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for part in ("unet", "vae", "text_encoder"):
        shutil.rmtree(folder / part, ignore_errors=True)
    pipe.to(dtype=torch.float16).save_pretrained(folder, max_shard_size=SHARD)
    for part, changes in (("unet", {}), ("vae", {}), ("text_encoder", {"dtype": "float32"})):
        path = folder / part / "config.json"
        config = json.loads(path.read_text()) | changes
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n")
    vocabulary().save(folder)
    weights = sorted(folder.rglob("*.safetensors"))
    sums = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in weights}
    (folder / "SHA256SUMS.json").write_text(json.dumps(sums, indent=1) + "\n")
