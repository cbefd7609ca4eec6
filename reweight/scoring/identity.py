"""Identity: how far a picture is from the vanilla one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image


@dataclass(frozen=True)
class Distance:
    """ssim: structural similarity, 1 for equal pictures. mean_difference: mean absolute difference, 0 to 255."""

    ssim: float
    mean_difference: float


def distance(picture: Image.Image, vanilla: Image.Image) -> Distance:
    """Distance of an RGB picture from the vanilla one. ValueError when their sizes differ."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = _pair(picture, vanilla)
    ssim = structural_similarity_index_measure(_batch(a), _batch(b), data_range=255.0)
    return Distance(float(ssim), float(np.abs(a - b).mean()))


def difference_map(picture: Image.Image, vanilla: Image.Image, gain: float = 4.0) -> Image.Image:
    """Mean absolute difference over the colours, times gain, as a picture from black through red to white."""
    a, b = _pair(picture, vanilla)
    d = np.clip(np.abs(a - b).mean(-1) * gain / 255, 0, 1)
    heat = np.stack([np.clip(d * 2.2, 0, 1), np.clip(d * 2.2 - 0.7, 0, 1), np.clip(d * 2.2 - 1.4, 0, 1)], -1)
    return Image.fromarray((heat * 255).astype(np.uint8))


def _pair(picture: Image.Image, vanilla: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    if picture.size != vanilla.size:
        raise ValueError(f"The pictures have different sizes, {picture.size} and {vanilla.size}: compare equal ones.")
    return tuple(np.asarray(image.convert("RGB"), np.float32) for image in (picture, vanilla))


def _batch(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).permute(2, 0, 1)[None]
