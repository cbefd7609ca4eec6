"""What a scorer is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image
from torch import Tensor


class Scorer(Protocol):
    """Says how good pictures are for their prompts. name and version go wherever a score goes."""

    name: str
    version: str

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> np.ndarray:
        """A score for each picture with its own prompt, (n,), higher is better. ValueError for unequal lengths."""
        ...


@runtime_checkable
class ImageFeatures(Protocol):
    """A scorer whose image features can be looked at."""

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Features of length 1, (n, d)."""
        ...


class Look(NamedTuple):
    """What a scorer makes of n pictures, with gradients. score: (n,). match: (n,), the cosine of each with its prompt, the
    part of the score that reads the prompt. features: (n, d), of length 1."""

    score: Tensor
    match: Tensor
    features: Tensor


@runtime_checkable
class DifferentiableScorer(Protocol):
    """A scorer through which a gradient flows back to the pixels."""

    def look(self, pictures: Tensor, prompts: Sequence[str]) -> Look:
        """Pictures (n, 3, height, width) in [0, 1], each with its own prompt; not rounded to 8 bits."""
        ...


def check_lengths(images: Sequence[Image.Image], prompts: Sequence[str]) -> None:
    """ValueError of one sentence unless there is one prompt for each picture."""
    if len(images) != len(prompts):
        raise ValueError(f"There are {len(images)} pictures and {len(prompts)} prompts: give one prompt a picture.")
