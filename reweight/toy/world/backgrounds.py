"""Paints the settings of scenes procedurally: table, meadow, beach, snow, night, forest, room, sunset."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from .pixels import mix, smooth
from .scenes import SETTINGS

SIDE = 128
MARGIN = 32
VARIANTS = 20


def _gradient(h, w, *stops):
    """A vertical gradient through RGB stops, (h, w, 3)."""
    stops = np.asarray(stops, np.float32)
    at = np.linspace(0, len(stops) - 1, h)
    column = np.stack([np.interp(at, range(len(stops)), stops[:, c]) for c in range(3)], -1)
    return np.repeat(column[:, None], w, 1).astype(np.float32)


def _hills(rng, picture, base, colour, height, roughness=3):
    """Paint a hill with a random crest around row `base`."""
    h, w, _ = picture.shape
    crest = base - height * (smooth(rng, (1, w), (1, roughness))[0, :, 0] - 0.4)
    mask = np.clip(np.arange(h)[:, None] - crest[None], 0, 1)[..., None]
    shade = 1 - 0.25 * np.clip((np.arange(h)[:, None, None] - base) / (h - base + 1), 0, 1)
    return mix(picture, np.asarray(colour, np.float32) * shade, mask)


def _glow(picture, x, y, radius, colour, disc):
    h, w, _ = picture.shape
    far = np.hypot(np.arange(w)[None] - x, np.arange(h)[:, None] - y)[..., None]
    picture = picture + np.asarray(colour, np.float32) * 0.55 * np.exp(-((far / (radius * 2.6)) ** 2))
    return mix(picture, np.asarray(disc, np.float32), np.clip(radius - far, 0, 1))


def _clouds(rng, picture, horizon, amount=0.8):
    h, w, _ = picture.shape
    noise = 0.65 * smooth(rng, (h, w), (6, 4)) + 0.35 * smooth(rng, (h, w), (14, 9))
    fade = np.clip((horizon - np.arange(h)) / horizon, 0, 1)[:, None, None]
    return mix(picture, np.float32(1), np.clip((noise - 0.55) * 3.5, 0, 1) * fade * amount)


def _table(rng, h, w):
    tint = np.asarray([(0.93, 0.86, 0.74), (0.80, 0.88, 0.90), (0.88, 0.82, 0.90), (0.86, 0.90, 0.80)])[rng.integers(4)]
    picture = _gradient(h, w, tint * 1.03, tint * 0.86)
    edge = int(h * 0.62)
    wood = _gradient(h - edge, w, (0.66, 0.42, 0.22), (0.50, 0.30, 0.15))
    grain = smooth(rng, (h - edge, w), (22, 3))
    wood *= 0.82 + 0.36 * grain
    for row in np.linspace(0, h - edge - 1, 4).astype(int)[1:3]:
        wood[row : row + 1] *= 0.72
    wood[:2] *= 1.25
    picture[edge:] = wood
    return picture


def _meadow(rng, h, w):
    picture = _gradient(h, w, (0.36, 0.64, 0.95), (0.66, 0.85, 0.98), (0.88, 0.95, 0.98))
    picture = _clouds(rng, picture, h * 0.6)
    picture = _hills(rng, picture, h * 0.56, (0.50, 0.74, 0.52), h * 0.10)
    picture = _hills(rng, picture, h * 0.62, (0.42, 0.72, 0.26), h * 0.05)
    top = int(h * 0.62)
    blades = smooth(rng, (h - top, w), (9, w // 2))
    picture[top:] *= 0.84 + 0.30 * blades
    for _ in range(26):
        y, x = rng.integers(int(h * 0.68), h - 2), rng.integers(2, w - 2)
        picture[y : y + 2, x : x + 2] = [(1, 0.95, 0.45), (1, 1, 1), (1, 0.65, 0.78)][rng.integers(3)]
    return picture


def _beach(rng, h, w):
    picture = _gradient(h, w, (0.30, 0.66, 0.96), (0.62, 0.86, 0.99), (0.92, 0.97, 0.99))
    picture = _clouds(rng, picture, h * 0.42, 0.7)
    sea, sand = int(h * 0.44), int(h * 0.62)
    water = _gradient(sand - sea, w, (0.10, 0.50, 0.78), (0.22, 0.78, 0.84))
    water += 0.16 * (smooth(rng, (sand - sea, w), (12, 6)) - 0.5)
    picture[sea:sand] = water
    picture = _hills(rng, picture, sand, (0.96, 0.98, 0.98), h * 0.04)
    picture = _hills(rng, picture, sand + 4, (0.96, 0.86, 0.64), h * 0.04)
    picture[sand + 6 :] *= 0.93 + 0.12 * smooth(rng, (h - sand - 6, w), (20, 24))
    return picture


def _snow(rng, h, w):
    picture = _gradient(h, w, (0.66, 0.78, 0.90), (0.84, 0.90, 0.95), (0.94, 0.96, 0.98))
    image = Image.fromarray((picture * 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        x, tall = rng.uniform(0, w), rng.uniform(0.16, 0.30) * h
        green = tuple(int(c) for c in np.array((92, 130, 134)) + rng.integers(-14, 26))
        for part in range(3):
            top, half = h * 0.64 - tall * (1 - part * 0.28), tall * (0.16 + 0.07 * part)
            pen.polygon([(x, top), (x - half, top + tall * 0.42), (x + half, top + tall * 0.42)], fill=green)
    picture = np.asarray(image, np.float32) / 255
    picture = _hills(rng, picture, h * 0.61, (0.90, 0.94, 0.99), h * 0.07)
    picture = _hills(rng, picture, h * 0.70, (0.97, 0.98, 1.0), h * 0.07)
    for _ in range(45):
        y, x = rng.integers(1, h - 2), rng.integers(1, w - 2)
        picture[y : y + 2, x : x + 2] = 1
    return picture


def _night(rng, h, w):
    picture = _gradient(h, w, (0.03, 0.04, 0.18), (0.10, 0.12, 0.38), (0.26, 0.24, 0.54))
    picture += 0.10 * (smooth(rng, (h, w), (5, 5)) - 0.5) * np.asarray((0.9, 0.5, 1.3), np.float32)
    for _ in range(70):
        y, x = rng.integers(0, int(h * 0.6)), rng.integers(0, w - 1)
        picture[y, x] = rng.uniform(0.55, 1)
    picture = _glow(
        picture, rng.uniform(0.25, 0.75) * w, rng.uniform(0.20, 0.30) * h, 9, (0.5, 0.5, 0.6), (1, 0.97, 0.82)
    )
    picture = _hills(rng, picture, h * 0.64, (0.11, 0.13, 0.30), h * 0.12)
    return _hills(rng, picture, h * 0.72, (0.08, 0.10, 0.22), h * 0.06)


def _forest(rng, h, w):
    picture = _gradient(h, w, (0.72, 0.86, 0.62), (0.56, 0.76, 0.50), (0.40, 0.60, 0.34))
    image = Image.fromarray((picture * 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for depth in np.linspace(0.15, 1, 15):
        x, wide = rng.uniform(0, w), 3 + 9 * depth
        trunk = mix(np.array((128, 156, 108)), np.array((66, 50, 36)), depth).astype(int)
        pen.polygon(
            [
                (x, 0),
                (x + wide, 0),
                (x + wide * 1.3, h * (0.58 + 0.1 * depth)),
                (x - wide * 0.3, h * (0.58 + 0.1 * depth)),
            ],
            fill=tuple(trunk),
        )
    for _ in range(60):
        x, y, r = rng.uniform(0, w), rng.uniform(-8, h * 0.20), rng.uniform(6, 15)
        leaf = tuple(int(c) for c in np.array((44, 104, 40)) + rng.integers(-16, 44))
        pen.ellipse([x - r, y - r, x + r, y + r * 0.8], fill=leaf)
    picture = np.asarray(image, np.float32) / 255
    picture = _hills(rng, picture, h * 0.63, (0.26, 0.44, 0.18), h * 0.06)
    top = int(h * 0.66)
    picture[top:] *= 0.80 + 0.40 * smooth(rng, (h - top, w), (14, 30))
    return picture


def _room(rng, h, w):
    wall = np.asarray([(0.92, 0.78, 0.62), (0.70, 0.80, 0.76), (0.86, 0.70, 0.68), (0.74, 0.74, 0.88)])[rng.integers(4)]
    picture = _gradient(h, w, wall * 0.94, wall * 1.05)
    x, y = int(rng.uniform(0.20, 0.52) * w), int(h * 0.20)
    wide, tall = int(w * 0.28), int(h * 0.30)
    picture[y - 3 : y + tall + 3, x - 3 : x + wide + 3] = (0.97, 0.95, 0.92)
    picture[y : y + tall, x : x + wide] = _gradient(tall, wide, (0.56, 0.80, 0.98), (0.88, 0.95, 0.98))
    picture[y : y + tall, x + wide // 2 - 1 : x + wide // 2 + 1] = (0.97, 0.95, 0.92)
    picture[y + tall // 2 - 1 : y + tall // 2 + 1, x : x + wide] = (0.97, 0.95, 0.92)
    floor = int(h * 0.66)
    picture[floor - 4 : floor] = (0.96, 0.94, 0.90)
    boards = _gradient(h - floor, w, (0.70, 0.50, 0.32), (0.58, 0.38, 0.22))
    lean = np.linspace(0.55, 1.25, h - floor)[:, None]
    stripes = (np.arange(w)[None] - w / 2) / lean / 13 % 1
    picture[floor:] = boards * np.where(stripes < 0.08, 0.80, 1.0)[..., None]
    return picture


def _sunset(rng, h, w):
    picture = _gradient(h, w, (0.34, 0.18, 0.50), (0.82, 0.34, 0.46), (1.0, 0.60, 0.30), (1.0, 0.80, 0.42))
    bands = np.clip((smooth(rng, (h, w), (16, 3)) - 0.5) * 2.4, 0, 1)
    picture = mix(picture, np.asarray((0.48, 0.20, 0.44), np.float32), bands * 0.40)
    x, sea = rng.uniform(0.28, 0.72) * w, int(h * 0.60)
    picture = _glow(picture, x, h * 0.50, 15, (0.5, 0.35, 0.1), (1, 0.94, 0.66))
    water = _gradient(h - sea, w, (0.72, 0.34, 0.40), (0.24, 0.14, 0.34))
    path = np.exp(-(((np.arange(w)[None] - x) / (10 + 0.3 * np.arange(h - sea)[:, None])) ** 2))[..., None]
    ripple = smooth(rng, (h - sea, w), (26, 4))
    picture[sea:] = mix(
        water * (0.84 + 0.30 * ripple), np.asarray((1, 0.76, 0.42), np.float32), path * (0.30 + 0.6 * ripple)
    )
    return picture


PAINTERS = {"table": _table, "meadow": _meadow, "beach": _beach, "snow": _snow, "night": _night, "forest": _forest,
            "room": _room, "sunset": _sunset}  # fmt: skip


@cache
def backgrounds(seed: int) -> dict[str, list[np.ndarray]]:
    """VARIANTS paintings of every setting, (SIDE + MARGIN, SIDE + MARGIN, 3) float32 in [0, 1]."""
    side = SIDE + MARGIN
    return {
        name: [
            np.clip(PAINTERS[name](np.random.default_rng([seed, k, i]), side, side), 0, 1).astype(np.float32)
            for i in range(VARIANTS)
        ]
        for k, name in enumerate(SETTINGS)
    }
