"""The interface of a scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image
from torch import Tensor


class Scorer(Protocol):
    """Rates pictures for their prompts. name and version are recorded with every score."""

    name: str
    version: str

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> np.ndarray:
        """A score for each picture with its prompt, (n,), higher is better. ValueError for unequal lengths."""
        ...


@runtime_checkable
class ImageFeatures(Protocol):
    """A scorer that gives its image features."""

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Normalised features, (n, d)."""
        ...


class Look(NamedTuple):
    """A scorer's results for n pictures, with gradients. score: (n,). match: (n,), the cosine with the prompt, the part
    of the score that depends on it. features: (n, d), normalised."""

    score: Tensor
    match: Tensor
    features: Tensor


@runtime_checkable
class DifferentiableScorer(Protocol):
    """A scorer that is differentiable with respect to the pixels."""

    def look(self, pictures: Tensor, prompts: Sequence[str]) -> Look:
        """Score pictures (n, 3, height, width) in [0, 1], each with its prompt; they are not rounded to 8 bits."""
        ...


def check_lengths(images: Sequence[Image.Image], prompts: Sequence[str]) -> None:
    """ValueError of one sentence unless there are as many prompts as pictures."""
    if len(images) != len(prompts):
        raise ValueError(
            f"There are {len(images)} pictures and {len(prompts)} prompts: give one prompt for each picture."
        )
