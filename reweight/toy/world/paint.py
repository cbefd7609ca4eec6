"""Renders a scene as a 128x128 picture: a painted setting, and recoloured sprites with contact shadows, in a style.

The sprites are Microsoft's Fluent Emoji (MIT, see NOTICE). They are needed for training only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from .backgrounds import MARGIN, SIDE, VARIANTS, backgrounds
from .pixels import blur, mix, saturate
from .scenes import COLOURS, SIZES, SUBJECTS, Scene, Thing
from .styles import damaged, stylise

ART_SHA256 = "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"
ART_HELP = (
    "The training art is missing: run `npm pack @lobehub/fluent-emoji-3d@1.1.0`, "
    "and pass the file that it makes with --art."
)


def read_art(archive: Path) -> dict[str, Image.Image]:
    """The sprites by subject, 256x256 RGBA, from the pinned npm archive. ValueError for any other file."""
    import tarfile

    if not archive.is_file():
        raise ValueError(ART_HELP)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != ART_SHA256:
        raise ValueError(f"{archive.name} is not the pinned release of the art. {ART_HELP}")
    with tarfile.open(archive) as tar:
        return {
            subject: Image.open(tar.extractfile(f"package/assets/{code}.webp")).convert("RGBA").copy()
            for subject, code in SUBJECTS.items()
        }


def recolour(sprite: np.ndarray, colour: str, rng: np.random.Generator) -> np.ndarray:
    """An RGBA sprite (h, w, 4) in [0, 1] in a colour of COLOURS, with its shading."""
    if not colour:
        return sprite
    rgb, alpha = sprite[..., :3], sprite[..., 3]
    light = rgb @ np.asarray((0.35, 0.50, 0.15), np.float32)
    low, high = np.percentile(light[alpha > 0.5], (4, 96))
    light = np.clip((light - low) / max(high - low, 0.15), 0, 1)[..., None]
    target = np.asarray(COLOURS[colour], np.float32) * rng.uniform(0.93, 1.05)
    if colour == "white":
        painted = mix(target * 0.50, np.float32(1), light**0.6)
    elif colour == "black":
        painted = mix(target * 0.25, np.asarray((0.46, 0.46, 0.50), np.float32), light**1.6)
    else:
        painted = np.where(
            light < 0.5, mix(target * 0.30, target, light * 2), mix(target, np.float32(1), (light - 0.5) * 1.05)
        )
    return np.concatenate([np.clip(painted, 0, 1), sprite[..., 3:]], -1)


def _place(scene: Scene, rng: np.random.Generator) -> list[tuple[Thing, float, float, float]]:
    """(thing, size, centre x, base y) of each thing, in pixels."""
    if len(scene.things) == 1:
        thing = scene.things[0]
        size = SIZES[thing.size] * rng.uniform(0.92, 1.08) * SIDE
        slack = (SIDE - size) / 2 * 0.75
        base = rng.uniform(0.86, 0.94) * SIDE if size > 0.6 * SIDE else rng.uniform(0.78, 0.90) * SIDE
        return [(thing, size, SIDE / 2 + rng.uniform(-slack, slack), base)]
    sizes = rng.uniform(0.38, 0.46, 2) * SIDE
    if scene.relation == "above":
        x = SIDE / 2 + rng.uniform(-0.16, 0.16, 2) * SIDE
        return [(scene.things[0], sizes[0], x[0], rng.uniform(0.45, 0.48) * SIDE),
                (scene.things[1], sizes[1], x[1], rng.uniform(0.90, 0.95) * SIDE)]  # fmt: skip
    left, right = rng.uniform(0.25, 0.29) * SIDE, rng.uniform(0.71, 0.75) * SIDE
    swap = scene.relation == "right of" or (scene.relation == "next to" and rng.random() < 0.5)
    bases = rng.uniform(0.78, 0.90) * SIDE + rng.uniform(-4, 4, 2)
    centres = (right, left) if swap else (left, right)
    return [(thing, sizes[i], centres[i], bases[i]) for i, thing in enumerate(scene.things)]


def _edges(alpha: np.ndarray, width: int) -> np.ndarray:
    image = Image.fromarray((alpha * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.MaxFilter(width)), np.float32) / 255


class World:
    """Renders scenes. `art` maps a subject to its RGBA sprite (see `read_art`); `seed` fixes the painted settings."""

    def __init__(self, art: dict[str, Image.Image], seed: int = 0):
        self.art = art
        self.settings = backgrounds(seed)

    def _sprite(self, thing: Thing, size: float, rng: np.random.Generator) -> np.ndarray:
        sprite = self.art[thing.subject]
        if thing.subject != "clock" and rng.random() < 0.5:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sprite = sprite.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC)
        sprite = sprite.crop(sprite.getbbox())
        scale = size / max(sprite.size)
        sprite = sprite.resize([max(8, round(s * scale)) for s in sprite.size], Image.Resampling.LANCZOS)
        return recolour(np.asarray(sprite, np.float32) / 255, thing.colour, rng)

    def render(self, scene: Scene, rng: np.random.Generator) -> np.ndarray:
        """The picture of a scene, (128, 128, 3) uint8, determined by the scene and the generator's state."""
        ground = self.settings[scene.setting][rng.integers(VARIANTS)]
        y, x = rng.integers(MARGIN // 4, MARGIN * 3 // 4), rng.integers(MARGIN)
        ground = ground[y : y + SIDE, x : x + SIDE]
        if rng.random() < 0.5:
            ground = ground[:, ::-1]
        ground = np.clip(ground * rng.uniform(0.92, 1.06), 0, 1)
        picture, cover = ground.copy(), np.zeros((SIDE, SIDE, 1), np.float32)
        if scene.style == "photo":
            picture = blur(picture, rng.uniform(1.2, 2.2))
        elif scene.style == "anime":
            picture = np.round(saturate(blur(picture, 0.8), 1.25) * 7) / 7
        for thing, size, cx, base in _place(scene, rng):
            picture = self._compose(picture, cover, thing, size, cx, base, scene, rng)
        picture = stylise(np.clip(picture, 0, 1), cover, scene.style, rng)
        picture = damaged(np.clip(picture, 0, 1), scene.damage, rng)
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _compose(self, picture, cover, thing, size, cx, base, scene, rng):
        sprite = self._sprite(thing, size, rng)
        if scene.style == "anime":
            light = sprite[..., :3].mean(-1, keepdims=True)
            steps = np.round(light * 3.2) / 3.2
            sprite[..., :3] = np.clip(
                saturate(sprite[..., :3] * (0.35 + 0.65 * steps / np.maximum(light, 0.05)), 1.3), 0, 1
            )
        h, w, _ = sprite.shape
        left = int(np.clip(cx - w / 2, 1, SIDE - w - 1)) if w < SIDE - 2 else 0
        top = int(np.clip(base - h, 1, SIDE - h - 1)) if h < SIDE - 2 else 0
        floating = scene.relation == "above" and thing is scene.things[0]
        if not floating:
            yy, xx = np.mgrid[0:SIDE, 0:SIDE]
            far = ((xx - left - w / 2) / (w * 0.52)) ** 2 + ((yy - top - h + 1) / (h * 0.11 + 2)) ** 2
            picture = picture * (1 - 0.5 * np.exp(-1.6 * far))[..., None]
        area = (slice(top, top + h), slice(left, left + w))
        h, w = picture[area].shape[:2]
        sprite = sprite[:h, :w]
        alpha = sprite[..., 3:]
        if scene.style == "anime":
            line = np.zeros((SIDE, SIDE), np.float32)
            line[area] = alpha[..., 0]
            picture = mix(picture, np.float32(0.08), _edges(line, 5)[..., None] * 0.95)
        if scene.setting in ("night", "sunset"):
            tint = np.asarray((0.80, 0.82, 1.0) if scene.setting == "night" else (1.0, 0.90, 0.86), np.float32)
            sprite = np.concatenate([sprite[..., :3] * tint, alpha], -1)
        picture[area] = mix(picture[area], sprite[..., :3], alpha)
        cover[area] = np.maximum(cover[area], alpha)
        return picture
