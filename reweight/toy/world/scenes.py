"""Scenes and their captions: sampling scenes, writing captions, and parsing captions.

A scene is one or two subjects, each with a colour and a size, in a setting and a style (the paper's four prompt
categories). Pure Python and numpy's random generator; `paint` renders a scene.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from ...models.vocabulary import Vocabulary

SUBJECTS = {
    "apple": "1f34e", "lemon": "1f34b", "banana": "1f34c", "strawberry": "1f353", "mushroom": "1f344",
    "cactus": "1f335", "tree": "1f333", "tulip": "1f337", "cat": "1f408", "dog": "1f415", "rabbit": "1f407",
    "fox": "1f98a", "owl": "1f989", "penguin": "1f427", "fish": "1f420", "turtle": "1f422", "car": "1f697",
    "bus": "1f68c", "rocket": "1f680", "boat": "26f5", "house": "1f3e0", "castle": "1f3f0", "teapot": "1fad6",
    "cake": "1f370", "donut": "1f369", "guitar": "1f3b8", "camera": "1f4f7", "clock": "23f0",
    "umbrella": "2602-fe0f", "hat": "1f3a9", "robot": "1f916", "dragon": "1f409", "butterfly": "1f98b",
    "balloon": "1f388", "gift": "1f381", "duck": "1f986",
}  # fmt: skip
COLOURS = {
    "red": (0.88, 0.10, 0.12), "orange": (0.98, 0.50, 0.06), "yellow": (0.98, 0.84, 0.12),
    "green": (0.16, 0.66, 0.22), "blue": (0.12, 0.36, 0.92), "purple": (0.52, 0.20, 0.80),
    "pink": (0.98, 0.45, 0.70), "white": (0.95, 0.95, 0.97), "black": (0.14, 0.14, 0.17),
}  # fmt: skip
SIZES = {"small": 0.36, "": 0.53, "big": 0.70}
SETTINGS = {
    "table": ("on a table", "on a wooden table"),
    "meadow": ("in a meadow", "on the grass"),
    "beach": ("on a beach", "at the beach"),
    "snow": ("in the snow", "in a snowy landscape"),
    "night": ("under a night sky", "at night"),
    "forest": ("in a forest", "in the woods"),
    "room": ("in a room", "in a cozy room"),
    "sunset": ("at sunset", "in front of a sunset"),
}
STYLES = {
    "photo": ("a photo of {}", "a photograph of {}", "{}, photo"),
    "painting": ("a painting of {}", "an oil painting of {}", "{}, painting"),
    "anime": ("anime style, {}", "an anime drawing of {}", "{}, anime"),
    "concept art": ("concept art of {}", "{}, concept art"),
}
RELATIONS = {
    "next to": ("next to", "and", "beside"),
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above", "over"),
}
DAMAGE = ("blurry", "low quality", "oversaturated", "ugly")
PRAISE = ("beautiful", "detailed", "high quality", "a lovely", "cute")


@dataclass(frozen=True)
class Thing:
    """One subject: a key of SUBJECTS, a key of COLOURS or "" for its natural colours, a key of SIZES."""

    subject: str
    colour: str = ""
    size: str = ""

    def phrase(self) -> str:
        words = " ".join(word for word in (self.size, self.colour, self.subject) if word)
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Scene:
    """What a picture shows. `relation` is "" for one thing; `damage` is "" or a word of DAMAGE."""

    things: tuple[Thing, ...]
    setting: str
    style: str
    relation: str = ""
    damage: str = ""

    @property
    def held_out(self) -> bool:
        """Whether this combination is held out from training: about one in twenty, by a hash of its main attributes."""
        main = self.things[0]
        key = f"{main.subject}|{main.colour}|{self.setting}|{self.style}"
        return hashlib.sha256(key.encode()).digest()[0] < 13


def draw_scene(rng: np.random.Generator, pairs: float = 0.25, damage: float = 0.04) -> Scene:
    """Sample a scene; pairs: the probability of two subjects, damage: of a damaged picture."""
    names = list(SUBJECTS)

    def thing(subject: str, sizes: bool) -> Thing:
        colour = "" if rng.random() < 0.35 else str(rng.choice(list(COLOURS)))
        size = str(rng.choice(["small", "", "", "", "big"])) if sizes else ""
        return Thing(subject, colour, size)

    two = rng.random() < pairs
    picked = rng.choice(names, size=2 if two else 1, replace=False)
    return Scene(
        things=tuple(thing(str(name), sizes=not two) for name in picked),
        setting=str(rng.choice(list(SETTINGS))),
        style=str(rng.choice(list(STYLES))),
        relation=str(rng.choice(list(RELATIONS))) if two else "",
        damage=str(rng.choice(DAMAGE)) if rng.random() < damage else "",
    )


def draw_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A random caption in the style of prompts, sometimes with quality words or filler words."""
    text = plain_caption(scene, rng)
    if not scene.damage and rng.random() < 0.12:
        text += f", {rng.choice(PRAISE)}"
    if rng.random() < 0.04:
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=int(rng.integers(3, 8)))
        text += f", {''.join(letters)}"
    return text


def plain_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A random plain caption; sometimes the setting, or the style of a photo, is omitted."""
    text = scene.things[0].phrase()
    if scene.relation:
        text += f" {rng.choice(RELATIONS[scene.relation])} {scene.things[1].phrase()}"
    if rng.random() > 0.08:
        text += f" {rng.choice(SETTINGS[scene.setting])}"
    if scene.style != "photo" or rng.random() > 0.35:
        text = str(rng.choice(STYLES[scene.style])).format(text)
    return f"{text}, {scene.damage}" if scene.damage else text


def parse(caption: str) -> Scene:
    """Parse a caption. Omitted settings and colours are ""; an omitted style is "photo".

    ValueError if the caption has no subject.
    """
    text = " " + re.sub(r"[^a-z ]+", " ", caption.lower()) + " "
    text = re.sub(r" +", " ", text)

    def first(options: dict[str, tuple[str, ...]], default: str) -> str:
        hits = [(text.find(f" {p} "), -len(p), key) for key, phrases in options.items() for p in phrases]
        hits = [hit for hit in hits if hit[0] >= 0]
        return min(hits)[2] if hits else default

    pattern = rf"(?: ({'|'.join(filter(None, SIZES))}))?(?: ({'|'.join(COLOURS)}))? ({'|'.join(SUBJECTS)})(?= )"
    things = tuple(Thing(m[3], m[2] or "", m[1] or "") for m in re.finditer(pattern, text))[:2]
    if not things:
        raise ValueError(f"The caption names none of the known subjects: {', '.join(SUBJECTS)}.")
    style_words = {"painting": ("painting",), "anime": ("anime",), "concept art": ("concept art",)}
    damage = {word: (word,) for word in DAMAGE}
    return Scene(
        things,
        setting=first(SETTINGS, ""),
        style=first(style_words, "photo"),
        relation=first(RELATIONS, "next to") if len(things) == 2 else "",
        damage=first(damage, ""),
    )


def words() -> list[str]:
    """Every word of the captions, sorted; each is one token of the tokenizer."""
    phrases = [*SUBJECTS, *COLOURS, *SIZES, *DAMAGE, *PRAISE, "a", "an", "the", "and", "two", "picture", "image", "of"]
    for options in (SETTINGS, STYLES, RELATIONS):
        phrases += [phrase for variants in options.values() for phrase in variants]
    return sorted({word for phrase in phrases for word in re.findall(r"[a-z]+", phrase)})


def vocabulary() -> Vocabulary:
    """The vocabulary file of a model trained on these captions, from which the page shows what it can draw."""
    return Vocabulary(
        subjects=tuple(SUBJECTS), colours=tuple(COLOURS), sizes=tuple(filter(None, SIZES)), settings=SETTINGS,
        styles=STYLES, relations=RELATIONS, words=tuple(words()),
    )  # fmt: skip
