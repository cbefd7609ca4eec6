"""Similarity of a picture with the vanilla picture: SSIM, mean difference, feature cosine, LPIPS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from .scorer import ImageFeatures

GAUSS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
GAUSS /= GAUSS.sum()


@dataclass(frozen=True)
class Distance:
    """Distance of two pictures. ssim: structural similarity, 1 if equal. mean_difference: mean absolute difference, 0 to
    255."""

    ssim: float
    mean_difference: float


def distance(picture: Image.Image, vanilla: Image.Image) -> Distance:
    """Distance of an RGB picture from the vanilla picture. ValueError if their sizes differ."""
    a, b = _pair(picture, vanilla)
    return Distance(ssim(a, b), float(np.abs(a - b).mean()))


def ssims(pictures: Sequence[Image.Image], vanilla: Image.Image) -> np.ndarray:
    """(n,) structural similarity of RGB pictures with one vanilla picture. ValueError if their sizes differ."""
    return np.array([ssim(*_pair(picture, vanilla)) for picture in pictures])


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004) of two arrays (height, width, channels) in 0..255; 1 if equal.

    Gaussian window of 11 pixels, sigma 1.5, K1 = .01, K2 = .03, reflected edges, in float64: the same value as
    torchmetrics', but 20 times as fast, because the Gaussian is separated into rows and columns.
    """
    return float(
        np.mean([_likeness(*planes) for planes in zip(np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0), strict=True)])
    )


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b, aa, bb, ab = (_blurred(x) for x in (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    variances = (aa - mean_a**2).clip(0) + (bb - mean_b**2).clip(0)
    likeness = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    return float((likeness / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))).mean())


def _blurred(x: np.ndarray) -> np.ndarray:
    """x (height, width) convolved with the Gaussian window."""
    height, width = x.shape
    x = np.pad(x, len(GAUSS) // 2, mode="reflect")
    down = GAUSS[0] * x[:height]
    for i, share in enumerate(GAUSS[1:], 1):
        down += share * x[i : i + height]
    across = GAUSS[0] * down[:, :width]
    for i, share in enumerate(GAUSS[1:], 1):
        across += share * down[:, i : i + width]
    return across


def feature_cosine(
    pictures: Sequence[Image.Image], vanillas: Sequence[Image.Image], scorer: ImageFeatures
) -> np.ndarray:
    """Cosine of the scorer's image features of each picture and its vanilla picture, (n,), 1 if equal."""
    _check_count(pictures, vanillas)
    return (scorer.features(pictures) * scorer.features(vanillas)).sum(-1)


@torch.inference_mode()
def lpips(pictures: Sequence[Image.Image], vanillas: Sequence[Image.Image], device: str = "cpu") -> np.ndarray:
    """LPIPS (Zhang et al., arXiv 1801.03924, AlexNet) of each picture and its vanilla picture, (n,), 0 if equal.

    Computed by torchmetrics, which needs torchvision and downloads weights once. ValueError of one sentence otherwise.
    """
    _check_count(pictures, vanillas)
    try:
        from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

        measure = LearnedPerceptualImagePatchSimilarity(net_type="alex").to(device)
    except Exception as error:
        raise ValueError(
            "LPIPS needs a torchvision that fits torch, and its AlexNet weights, downloaded once: leave it out."
        ) from error
    pairs = [
        [_batch(array).to(device) / 127.5 - 1 for array in _pair(*pair)]
        for pair in zip(pictures, vanillas, strict=True)
    ]
    return np.array([float(measure(*pair)) for pair in pairs])


def difference_map(picture: Image.Image, vanilla: Image.Image, gain: float = 4.0) -> Image.Image:
    """Mean absolute difference over the colour channels, times gain, as a picture from black through red to white."""
    a, b = _pair(picture, vanilla)
    d = np.clip(np.abs(a - b).mean(-1) * gain / 255, 0, 1)
    heat = np.stack([np.clip(d * 2.2, 0, 1), np.clip(d * 2.2 - 0.7, 0, 1), np.clip(d * 2.2 - 1.4, 0, 1)], -1)
    return Image.fromarray((heat * 255).astype(np.uint8))


def _check_count(pictures: Sequence[Image.Image], vanillas: Sequence[Image.Image]) -> None:
    if len(pictures) != len(vanillas):
        raise ValueError(f"There are {len(pictures)} pictures and {len(vanillas)} vanilla ones: give pairs.")


def _pair(picture: Image.Image, vanilla: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    if picture.size != vanilla.size:
        raise ValueError(f"The pictures have different sizes, {picture.size} and {vanilla.size}: compare equal ones.")
    return tuple(np.asarray(image.convert("RGB"), np.float32) for image in (picture, vanilla))


def _batch(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).permute(2, 0, 1)[None]
