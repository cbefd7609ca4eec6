"""Time of a picture at each number of steps, vanilla and tuned, interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np

from ...engine.drawing import draw
from ...engine.request import validate
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from .tuned_rows import VANILLA

TURNS = 9
PROMPT = "a photo of a red apple on a wooden table"


def measured_seconds(
    loaded: LoadedModel, steps: Sequence[int], tables: Mapping[int, np.ndarray], guidance: float
) -> dict[str, dict[str, float]]:
    """Seconds of one picture by number of steps and variant, "vanilla" and "dynamic": medians of TURNS interleaved turns.

    tables: weights (T, m) by number of steps T.
    """
    jobs = [(count, VANILLA, None) for count in steps] + [(count, "dynamic", tables[count]) for count in sorted(tables)]
    took: dict[tuple[int, str], list[float]] = {(count, name): [] for count, name, _ in jobs}
    for turn in range(TURNS + 1):  # the first one warms up
        for count, name, weights in jobs:
            request = validate(loaded.card, model=loaded.card.key, prompt=PROMPT, steps=count, guidance=guidance)
            drawing = Drawing(count, guidance, loaded.card.family, weights=weights)
            start = time.perf_counter()
            draw(loaded, request, VANILLA if weights is None else "reweighted", drawing)
            if turn:
                took[count, name].append(time.perf_counter() - start)
    found: dict[str, dict[str, float]] = {}
    for (count, name), times in took.items():
        found.setdefault(str(count), {})[name] = round(statistics.median(times), 4)
    return found
