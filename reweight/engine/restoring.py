"""Restores a picture's request from its settings, with exactly the weights that it was drawn with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..methods.reweighting import OFF
from .request import Request

CLOSE = 1e-9
MOST = 2.0  # the largest weight that can be painted


def with_weights(settings: Mapping[str, Any], request: Request, weights: np.ndarray) -> tuple[dict[str, Any], bool]:
    """A picture's request settings, changed so that they give its weights, and whether cells were painted for that.

    settings: the PNG's. request: made from them. weights: (T, m), those of the request here, where the picture's
    importance table may be missing. Cells that differ are painted, except weights above 2. ValueError if the picture
    has a weight for each Transformer and its table is missing, because cells are painted for whole blocks.
    """
    asked = dict(settings["request"])
    if settings.get("weights") is None:
        return asked, False
    drawn = np.asarray(settings["weights"], dtype=np.float64)
    if len(drawn) == len(weights) and drawn.shape != weights.shape:
        raise ValueError(
            f"The picture was drawn with {drawn.shape[1]} weights a step, but this model has {weights.shape[1]} blocks: load "
            "its table of weights too."
        )
    if (
        drawn.shape != weights.shape
        or np.abs(drawn - weights).max() < CLOSE
        or not 0 <= drawn.min() <= drawn.max() <= MOST
    ):
        return asked, False
    by_hand = request.reweighting.painted
    asked["painted"] = [
        [OFF if by_hand and by_hand[t][i] == OFF else float(w) for i, w in enumerate(row)]
        for t, row in enumerate(drawn)
    ]
    return asked, True
