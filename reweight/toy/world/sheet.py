"""Contact sheets: pictures with captions, and training pictures of every setting and style."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .paint import World, read_art
from .scenes import COLOURS, DAMAGE, RELATIONS, SETTINGS, SIZES, STYLES, SUBJECTS, Scene, Thing, parse, plain_caption

GAP, LINE, FONT = 8, 13, 11


def captioned(images: list[Image.Image], captions: list[str], columns: int) -> Image.Image:
    """A sheet of pictures of one size, each with its caption centred and wrapped under it."""
    side, font = images[0].width, ImageFont.load_default(FONT)
    wrapped = [_lines(caption, lambda text: font.getlength(text) <= side) for caption in captions]
    starts = range(0, len(images), columns)
    rows = [(images[i : i + columns], wrapped[i : i + columns]) for i in starts]
    heights = [side + LINE * max(map(len, labels)) + 2 * GAP for _, labels in rows]
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, sum(heights) + GAP), "white")
    pen, y = ImageDraw.Draw(sheet), GAP
    for (pictures, labels), height in zip(rows, heights, strict=True):
        for column, (picture, lines) in enumerate(zip(pictures, labels, strict=True)):
            x = GAP + column * (side + GAP)
            sheet.paste(picture, (x, y))
            for k, line in enumerate(lines):
                pen.text((x + side / 2, y + side + 3 + k * LINE), line, "#222", font, anchor="ma")
        y += height
    return sheet


def _lines(caption: str, fits: Callable[[str], bool]) -> list[str]:
    lines = [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        if fits(longer) or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def world_scenes() -> list[Scene]:
    """48 scenes: every style in every setting, then relations, then sizes and damage, with every subject and colour."""
    subjects = itertools.cycle(SUBJECTS)
    colours = itertools.cycle(["", *COLOURS, ""])
    settings = list(SETTINGS)

    def thing(size: str = "") -> Thing:
        return Thing(next(subjects), next(colours), size)

    scenes = [Scene((thing(),), setting, style) for style in STYLES for setting in settings]
    styles = itertools.cycle(STYLES)
    for setting, relation in zip(settings, itertools.cycle(RELATIONS), strict=False):
        scenes.append(Scene((thing(), thing()), setting, next(styles), relation))
    for setting, size in zip(settings[:4], (*SIZES, "big"), strict=True):
        scenes.append(Scene((thing(size),), setting, next(styles)))
    for setting, damage in zip(settings[4:], DAMAGE, strict=True):
        scenes.append(Scene((thing(),), setting, next(styles), damage=damage))
    return scenes


def world_sheet(art: Path, seed: int) -> Image.Image:
    """A sheet of the scenes of `world_scenes`. ValueError if the art is missing."""
    world, scenes = World(read_art(art)), world_scenes()
    rngs = [np.random.default_rng([seed, i]) for i in range(len(scenes))]
    captions = [_full_caption(scene, rng) for scene, rng in zip(scenes, rngs, strict=True)]
    images = [Image.fromarray(world.render(scene, rng)) for scene, rng in zip(scenes, rngs, strict=True)]
    return captioned(images, captions, len(SETTINGS))


def _full_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A plain caption that describes the scene completely."""
    while parse(caption := plain_caption(scene, rng)) != scene:
        pass
    return caption
