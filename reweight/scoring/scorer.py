"""What a scorer is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image


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


def check_lengths(images: Sequence[Image.Image], prompts: Sequence[str]) -> None:
    """ValueError of one sentence unless there is one prompt for each picture."""
    if len(images) != len(prompts):
        raise ValueError(f"There are {len(images)} pictures and {len(prompts)} prompts: give one prompt a picture.")
