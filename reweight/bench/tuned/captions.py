"""Three disjoint sets of captions in the embedded models' vocabulary: tuning, validation and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...toy.world.dataset import scene_at
from ...toy.world.scenes import draw_caption
from ..embedded.held_out import captions

TUNING, VALIDATION, TEST = 7911, 7912, 7913  # seeds of the sets


@dataclass(frozen=True)
class CaptionSets:
    """tuning, validation, prompts: captions of combinations that the model was trained on; combinations: of held-out
    ones, the same as in `bench importance`. No caption is in two sets."""

    tuning: tuple[str, ...]
    validation: tuple[str, ...]
    prompts: tuple[str, ...]
    combinations: tuple[str, ...]

    def test(self) -> list[tuple[str, str]]:
        """(set, caption) of every test caption."""
        return [("prompts", p) for p in self.prompts] + [("combinations", p) for p in self.combinations]


def caption_sets(tuning: int, validation: int, test: int) -> CaptionSets:
    """Sets of the given sizes, always the same; half of the test captions are of held-out combinations."""
    if min(tuning, validation) < 1 or test < 2:
        raise ValueError("Give at least 1 caption to tune on, 1 to validate on and 2 to test on.")
    combinations = tuple(dict.fromkeys(captions(test // 2)))
    taken = set(combinations)
    prompts = _fresh(test - test // 2, TEST, taken)
    validating = _fresh(validation, VALIDATION, taken)
    return CaptionSets(_fresh(tuning, TUNING, taken), validating, prompts, combinations)


def _fresh(count: int, seed: int, taken: set[str]) -> tuple[str, ...]:
    found: list[str] = []
    i = 0
    while len(found) < count:
        caption = draw_caption(scene_at(seed, i), np.random.default_rng([seed, i, 3]))
        if caption not in taken:
            taken.add(caption)
            found.append(caption)
        i += 1
    return tuple(found)
