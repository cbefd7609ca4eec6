"""Captions of held-out scenes, on which the embedded model was not trained."""

from __future__ import annotations

import numpy as np

from ...toy.world.dataset import scene_at
from ...toy.world.scenes import draw_caption

SEED = 7900


def captions(count: int, seed: int = SEED) -> list[str]:
    """The first `count` captions of a held-out set, determined by the seed."""
    if count < 1:
        raise ValueError(f"There must be at least 1 caption, not {count}.")
    scenes = (scene_at(seed, i, held_out=True) for i in range(count))
    return [draw_caption(scene, np.random.default_rng([seed, i, 3])) for i, scene in enumerate(scenes)]
