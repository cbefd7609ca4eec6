"""A scene becomes a 128x128 picture: painted settings, recoloured sprites with a contact shadow, four styles.

The sprites are Microsoft's Fluent Emoji (MIT, see NOTICE). They are needed for training only.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .scenes import COLOURS, SETTINGS, SIZES, SUBJECTS, Scene, Thing

SIDE = 128
MARGIN = 32
ART_SHA256 = "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"
ART_HELP = (
    "The training art is not there: run `npm pack @lobehub/fluent-emoji-3d@1.1.0`, "
    "and pass the file that it makes with --art."
)
VARIANTS = 20


def read_art(archive: Path) -> dict[str, Image.Image]:
    """The sprites by subject, 256x256 RGBA, from the pinned npm archive. Raises ValueError if it is not that file."""
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


def _mix(a, b, t):
    return a * (1 - t) + b * t


def _smooth(rng, shape, cells, channels=1):
    """Smooth noise in [0, 1], shape (h, w, channels), `cells` = (rows, columns) of random values underneath."""
    layers = [
        np.asarray(Image.fromarray(rng.random(cells).astype(np.float32)).resize(shape[::-1], Image.Resampling.BICUBIC))
        for _ in range(channels)
    ]
    return np.clip(np.stack(layers, -1), 0, 1)


def _gradient(h, w, *stops):
    """A vertical gradient through RGB stops, (h, w, 3)."""
    stops = np.asarray(stops, np.float32)
    at = np.linspace(0, len(stops) - 1, h)
    column = np.stack([np.interp(at, range(len(stops)), stops[:, c]) for c in range(3)], -1)
    return np.repeat(column[:, None], w, 1).astype(np.float32)


def _hills(rng, picture, base, colour, height, roughness=3):
    """Paint a hill line whose crest wanders about row `base`."""
    h, w, _ = picture.shape
    crest = base - height * (_smooth(rng, (1, w), (1, roughness))[0, :, 0] - 0.4)
    mask = np.clip(np.arange(h)[:, None] - crest[None], 0, 1)[..., None]
    shade = 1 - 0.25 * np.clip((np.arange(h)[:, None, None] - base) / (h - base + 1), 0, 1)
    return _mix(picture, np.asarray(colour, np.float32) * shade, mask)


def _glow(picture, x, y, radius, colour, disc):
    h, w, _ = picture.shape
    far = np.hypot(np.arange(w)[None] - x, np.arange(h)[:, None] - y)[..., None]
    picture = picture + np.asarray(colour, np.float32) * 0.55 * np.exp(-((far / (radius * 2.6)) ** 2))
    return _mix(picture, np.asarray(disc, np.float32), np.clip(radius - far, 0, 1))


def _clouds(rng, picture, horizon, amount=0.8):
    h, w, _ = picture.shape
    noise = 0.65 * _smooth(rng, (h, w), (6, 4)) + 0.35 * _smooth(rng, (h, w), (14, 9))
    fade = np.clip((horizon - np.arange(h)) / horizon, 0, 1)[:, None, None]
    return _mix(picture, np.float32(1), np.clip((noise - 0.55) * 3.5, 0, 1) * fade * amount)


def _table(rng, h, w):
    tint = np.asarray([(0.93, 0.86, 0.74), (0.80, 0.88, 0.90), (0.88, 0.82, 0.90), (0.86, 0.90, 0.80)])[rng.integers(4)]
    picture = _gradient(h, w, tint * 1.03, tint * 0.86)
    edge = int(h * 0.62)
    wood = _gradient(h - edge, w, (0.66, 0.42, 0.22), (0.50, 0.30, 0.15))
    grain = _smooth(rng, (h - edge, w), (22, 3))
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
    blades = _smooth(rng, (h - top, w), (9, w // 2))
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
    water += 0.16 * (_smooth(rng, (sand - sea, w), (12, 6)) - 0.5)
    picture[sea:sand] = water
    picture = _hills(rng, picture, sand, (0.96, 0.98, 0.98), h * 0.04)
    picture = _hills(rng, picture, sand + 4, (0.96, 0.86, 0.64), h * 0.04)
    picture[sand + 6 :] *= 0.93 + 0.12 * _smooth(rng, (h - sand - 6, w), (20, 24))
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
    picture += 0.10 * (_smooth(rng, (h, w), (5, 5)) - 0.5) * np.asarray((0.9, 0.5, 1.3), np.float32)
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
        trunk = _mix(np.array((128, 156, 108)), np.array((66, 50, 36)), depth).astype(int)
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
    picture[top:] *= 0.80 + 0.40 * _smooth(rng, (h - top, w), (14, 30))
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
    bands = np.clip((_smooth(rng, (h, w), (16, 3)) - 0.5) * 2.4, 0, 1)
    picture = _mix(picture, np.asarray((0.48, 0.20, 0.44), np.float32), bands * 0.40)
    x, sea = rng.uniform(0.28, 0.72) * w, int(h * 0.60)
    picture = _glow(picture, x, h * 0.50, 15, (0.5, 0.35, 0.1), (1, 0.94, 0.66))
    water = _gradient(h - sea, w, (0.72, 0.34, 0.40), (0.24, 0.14, 0.34))
    path = np.exp(-(((np.arange(w)[None] - x) / (10 + 0.3 * np.arange(h - sea)[:, None])) ** 2))[..., None]
    ripple = _smooth(rng, (h - sea, w), (26, 4))
    picture[sea:] = _mix(
        water * (0.84 + 0.30 * ripple), np.asarray((1, 0.76, 0.42), np.float32), path * (0.30 + 0.6 * ripple)
    )
    return picture


PAINTERS = {"table": _table, "meadow": _meadow, "beach": _beach, "snow": _snow, "night": _night, "forest": _forest,
            "room": _room, "sunset": _sunset}  # fmt: skip


@cache
def _settings_pool(seed: int) -> dict[str, list[np.ndarray]]:
    side = SIDE + MARGIN
    return {
        name: [
            np.clip(PAINTERS[name](np.random.default_rng([seed, k, i]), side, side), 0, 1).astype(np.float32)
            for i in range(VARIANTS)
        ]
        for k, name in enumerate(SETTINGS)
    }


def recolour(sprite: np.ndarray, colour: str, rng: np.random.Generator) -> np.ndarray:
    """Give an RGBA sprite (h, w, 4), values in [0, 1], a colour of COLOURS, its shading kept."""
    if not colour:
        return sprite
    rgb, alpha = sprite[..., :3], sprite[..., 3]
    light = rgb @ np.asarray((0.35, 0.50, 0.15), np.float32)
    low, high = np.percentile(light[alpha > 0.5], (4, 96))
    light = np.clip((light - low) / max(high - low, 0.15), 0, 1)[..., None]
    target = np.asarray(COLOURS[colour], np.float32) * rng.uniform(0.93, 1.05)
    if colour == "white":
        painted = _mix(target * 0.50, np.float32(1), light**0.6)
    elif colour == "black":
        painted = _mix(target * 0.25, np.asarray((0.46, 0.46, 0.50), np.float32), light**1.6)
    else:
        painted = np.where(
            light < 0.5, _mix(target * 0.30, target, light * 2), _mix(target, np.float32(1), (light - 0.5) * 1.05)
        )
    return np.concatenate([np.clip(painted, 0, 1), sprite[..., 3:]], -1)


def _place(scene: Scene, rng: np.random.Generator) -> list[tuple[Thing, float, float, float]]:
    """(thing, size, centre x, base y) in pixels."""
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


def _kuwahara(picture: np.ndarray, radius: int) -> np.ndarray:
    """The mean of the calmest of the four quadrants around each pixel: flat strokes, sharp borders."""
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


def _blur(picture: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32) / 255


def _saturate(picture: np.ndarray, by: float) -> np.ndarray:
    return _mix(picture.mean(-1, keepdims=True), picture, by)


def _edges(alpha: np.ndarray, width: int) -> np.ndarray:
    image = Image.fromarray((alpha * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.MaxFilter(width)), np.float32) / 255


class World:
    """Renders scenes. `art` maps a subject to its RGBA sprite (see `read_art`); `seed` fixes the painted settings."""

    def __init__(self, art: dict[str, Image.Image], seed: int = 0):
        self.art = art
        self.settings = _settings_pool(seed)

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
        """The picture of a scene, (128, 128, 3) uint8, fixed by the scene and the generator's state."""
        ground = self.settings[scene.setting][rng.integers(VARIANTS)]
        y, x = rng.integers(MARGIN // 4, MARGIN * 3 // 4), rng.integers(MARGIN)
        ground = ground[y : y + SIDE, x : x + SIDE]
        if rng.random() < 0.5:
            ground = ground[:, ::-1]
        ground = np.clip(ground * rng.uniform(0.92, 1.06), 0, 1)
        picture, cover = ground.copy(), np.zeros((SIDE, SIDE, 1), np.float32)
        if scene.style == "photo":
            picture = _blur(picture, rng.uniform(1.2, 2.2))
        elif scene.style == "anime":
            picture = np.round(_saturate(_blur(picture, 0.8), 1.25) * 7) / 7
        for thing, size, cx, base in _place(scene, rng):
            picture = self._compose(picture, cover, thing, size, cx, base, scene, rng)
        picture = _stylise(np.clip(picture, 0, 1), cover, scene.style, rng)
        picture = _damage(np.clip(picture, 0, 1), scene.damage, rng)
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _compose(self, picture, cover, thing, size, cx, base, scene, rng):
        sprite = self._sprite(thing, size, rng)
        if scene.style == "anime":
            light = sprite[..., :3].mean(-1, keepdims=True)
            steps = np.round(light * 3.2) / 3.2
            sprite[..., :3] = np.clip(
                _saturate(sprite[..., :3] * (0.35 + 0.65 * steps / np.maximum(light, 0.05)), 1.3), 0, 1
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
            picture = _mix(picture, np.float32(0.08), _edges(line, 5)[..., None] * 0.95)
        if scene.setting in ("night", "sunset"):
            tint = np.asarray((0.80, 0.82, 1.0) if scene.setting == "night" else (1.0, 0.90, 0.86), np.float32)
            sprite = np.concatenate([sprite[..., :3] * tint, alpha], -1)
        picture[area] = _mix(picture[area], sprite[..., :3], alpha)
        cover[area] = np.maximum(cover[area], alpha)
        return picture


def _stylise(picture, cover, style, rng):
    if style == "photo":
        yy, xx = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
        return picture * (1 - 0.24 * np.clip(xx**2 + yy**2 - 0.35, 0, 2) / 1.65)[..., None]
    if style == "painting":
        strokes = _mix(_kuwahara(picture, 5), _kuwahara(picture, 2), cover)
        texture = _smooth(rng, (SIDE, SIDE), (44, 16)) - 0.5
        return _saturate(strokes, 1.12) * (1 + 0.16 * texture) + np.asarray((0.02, 0.01, -0.02), np.float32)
    if style == "concept art":
        grey = picture @ np.asarray((0.30, 0.55, 0.15), np.float32)
        duotone = _mix(
            np.asarray((0.10, 0.16, 0.22), np.float32), np.asarray((0.96, 0.90, 0.76), np.float32), grey[..., None]
        )
        picture = _mix(duotone, picture, 0.18 + 0.52 * cover)
        gy, gx = np.gradient(np.asarray(grey))
        picture = picture * (1 - np.clip(np.hypot(gx, gy)[..., None] * 5 - 0.12, 0, 0.75))
        lean = (np.arange(SIDE)[None] + 0.7 * np.arange(SIDE)[:, None] + rng.uniform(0, 200)) / 200
        shafts = np.clip(np.sin(lean * 2 * np.pi * 2) * 0.7 + np.sin(lean * 2 * np.pi * 5) * 0.3, 0, 1)[..., None]
        fade = np.linspace(1, 0, SIDE)[:, None, None]
        return picture + 0.20 * shafts * fade * (1 - 0.5 * cover)
    return picture


def _damage(picture, damage, rng):
    if damage == "blurry":
        return _blur(picture, rng.uniform(2.5, 4))
    if damage == "oversaturated":
        return (_saturate(picture, 2.4) - 0.5) * 1.5 + 0.5
    if damage == "ugly":
        return _mix(picture.mean(-1, keepdims=True) * np.asarray((0.62, 0.58, 0.40), np.float32), picture, 0.25) * 0.8
    if damage == "low quality":
        small = Image.fromarray((picture * 255).astype(np.uint8)).resize((26, 26), Image.Resampling.BOX)
        return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.NEAREST), np.float32) / 255
    return picture
