"""Preprocessing of pictures and prompts for HPS v2."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ftfy import fix_text
from PIL import Image

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's training pictures, by OpenAI
STD = (0.26862954, 0.26130258, 0.27577711)


def pixel_values(image: Image.Image, side: int) -> torch.Tensor:
    """A picture as (3, side, side): antialiased bicubic resize of the longest side to `side`, then zero padding.

    The hpsv2 package uses torchvision's default, which antialiases since 0.17; older versions give slightly different
    scores. A picture whose longest side is `side` is not resampled, but always padded to a square.
    """
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    return resized(pixels, side)[0]


def resized(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """The same for pictures (n, 3, h, w) in [0, 1], with gradients: (n, 3, side, side)."""
    height, width = pixels.shape[2:]
    scale = side / max(height, width)
    if scale != 1:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        pixels = F.interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True)
    down, right = side - pixels.shape[2], side - pixels.shape[3]
    pixels = F.pad(pixels, (right // 2, right - right // 2, down // 2, down - down // 2))
    mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (MEAN, STD))
    return (pixels - mean) / std


def token_ids(tokenizer: Any, prompts: Sequence[str], length: int) -> torch.Tensor:
    """Token ids (n, length) of prompts after open_clip's cleaning; long prompts are truncated but keep the end token."""
    texts = [" ".join(html.unescape(html.unescape(fix_text(prompt))).split()).lower() for prompt in prompts]
    return tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt").input_ids
