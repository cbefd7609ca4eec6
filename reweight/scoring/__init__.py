"""Scorers, which rate how well a picture fits its prompt, and similarity with the vanilla picture."""

from .scorer import ImageFeatures, Scorer
from .scorers import scorer_named
from .similarity import Distance, difference_map, distance, feature_cosine, lpips

__all__ = [
    "Distance", "ImageFeatures", "Scorer", "difference_map", "distance", "feature_cosine", "lpips", "scorer_named",
]  # fmt: skip
