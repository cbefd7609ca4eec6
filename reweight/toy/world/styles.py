"""Applies a scene's style to its picture (photo, anime, painting, concept art), and damages it where the caption says so."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .backgrounds import SIDE
from .pixels import blur, mix, saturate, smooth


def _kuwahara(picture: np.ndarray, radius: int) -> np.ndarray:
    """Kuwahara filter: the mean of the quadrant with the least variance around each pixel."""
    from numpy.lib.stride_tricks import sliding_window_view

    padded = np.pad(picture, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    n = radius + 1

    def box(values):
        rows = sliding_window_view(values, n, axis=0).mean(-1)
        return sliding_window_view(rows, n, axis=1).mean(-1)

    mean, grey = box(padded), padded.mean(-1, keepdims=True)
    var = (box(grey**2) - box(grey) ** 2)[..., 0]
    h, w, _ = picture.shape
    corners = [(0, 0), (0, radius), (radius, 0), (radius, radius)]
    spread = np.stack([var[y : y + h, x : x + w] for y, x in corners])
    means = np.stack([mean[y : y + h, x : x + w] for y, x in corners])
    return np.take_along_axis(means, spread.argmin(0)[None, ..., None], 0)[0]


def stylise(picture, cover, style, rng):
    """A picture in a style; cover: (h, w, 1), where a subject is. Anime is drawn subject by subject in `paint`."""
    if style == "photo":
        yy, xx = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
        return picture * (1 - 0.24 * np.clip(xx**2 + yy**2 - 0.35, 0, 2) / 1.65)[..., None]
    if style == "painting":
        strokes = mix(_kuwahara(picture, 5), _kuwahara(picture, 2), cover)
        texture = smooth(rng, (SIDE, SIDE), (44, 16)) - 0.5
        return saturate(strokes, 1.12) * (1 + 0.16 * texture) + np.asarray((0.02, 0.01, -0.02), np.float32)
    if style == "concept art":
        grey = picture @ np.asarray((0.30, 0.55, 0.15), np.float32)
        duotone = mix(
            np.asarray((0.10, 0.16, 0.22), np.float32), np.asarray((0.96, 0.90, 0.76), np.float32), grey[..., None]
        )
        picture = mix(duotone, picture, 0.18 + 0.52 * cover)
        gy, gx = np.gradient(np.asarray(grey))
        picture = picture * (1 - np.clip(np.hypot(gx, gy)[..., None] * 5 - 0.12, 0, 0.75))
        lean = (np.arange(SIDE)[None] + 0.7 * np.arange(SIDE)[:, None] + rng.uniform(0, 200)) / 200
        shafts = np.clip(np.sin(lean * 2 * np.pi * 2) * 0.7 + np.sin(lean * 2 * np.pi * 5) * 0.3, 0, 1)[..., None]
        fade = np.linspace(1, 0, SIDE)[:, None, None]
        return picture + 0.20 * shafts * fade * (1 - 0.5 * cover)
    return picture


def damaged(picture, damage, rng):
    """A picture with the damage that a word of the caption names."""
    if damage == "blurry":
        return blur(picture, rng.uniform(2.5, 4))
    if damage == "oversaturated":
        return (saturate(picture, 2.4) - 0.5) * 1.5 + 0.5
    if damage == "ugly":
        return mix(picture.mean(-1, keepdims=True) * np.asarray((0.62, 0.58, 0.40), np.float32), picture, 0.25) * 0.8
    if damage == "low quality":
        small = Image.fromarray((picture * 255).astype(np.uint8)).resize((26, 26), Image.Resampling.BOX)
        return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.NEAREST), np.float32) / 255
    return picture
