"""Elementary operations on pictures, float arrays (h, w, channels) in [0, 1]: mixing, smooth noise, blur, saturation."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter


def mix(a, b, t):
    """Linear interpolation from a (t = 0) to b (t = 1)."""
    return a * (1 - t) + b * t


def smooth(rng, shape, cells, channels=1):
    """Smooth noise in [0, 1], (h, w, channels), interpolated from cells = (rows, columns) of random values."""
    layers = [
        np.asarray(Image.fromarray(rng.random(cells).astype(np.float32)).resize(shape[::-1], Image.Resampling.BICUBIC))
        for _ in range(channels)
    ]
    return np.clip(np.stack(layers, -1), 0, 1)


def blur(picture: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur; radius in pixels."""
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32) / 255


def saturate(picture: np.ndarray, by: float) -> np.ndarray:
    """Saturation times `by`."""
    return mix(picture.mean(-1, keepdims=True), picture, by)
