"""Writes a model as a diffusers folder: half precision, files under 10 MB, checksums, vocabulary."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from ...models.folder import SUMS, sha256, shaping_files
from ..world.scenes import vocabulary

SHARD = "9MB"
STEPS = 16  # minimum number of quantisation steps in a standard deviation


def write_folder(folder: Path, *, unet, vae, text_encoder, tokenizer, scheduler) -> None:
    """Write the components as a folder for `StableDiffusionPipeline.from_pretrained`; other files there are kept.

    SHA256SUMS.json has the checksum of every file that affects pictures. The components are converted to half precision.
    """
    pipe = StableDiffusionPipeline(
        unet=unet, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    for part in ("unet", "vae", "text_encoder"):
        shutil.rmtree(folder / part, ignore_errors=True)
    pipe.to(dtype=torch.float16).save_pretrained(folder, max_shard_size=SHARD)
    for part, changes in (("unet", {}), ("vae", {}), ("text_encoder", {"dtype": "float32"})):
        path = folder / part / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) | changes
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    vocabulary().save(folder)
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS.json for the current files."""
    sums = {path.relative_to(folder).as_posix(): sha256(path) for path in shaping_files(folder)}
    (folder / SUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def coarsen(model: torch.nn.Module) -> None:
    """Round every matrix and kernel, in place, to multiples of a power of two, STEPS to 2 STEPS per standard deviation.

    In half precision the rounded weights compress to 0.55 of their size, unrounded ones to 0.92.
    """
    for weight in model.parameters():
        if weight.ndim > 1:
            step = 2.0 ** math.floor(math.log2(weight.std().clamp_min(1e-30).item() / STEPS))
            weight.copy_((weight / step).round() * step)
