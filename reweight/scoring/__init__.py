"""How a picture is judged: how well it fits its prompt by a scorer, and how far it is from the vanilla one."""

from .scorer import ImageFeatures, Scorer
from .scorers import scorer_named
from .similarity import Distance, difference_map, distance, feature_cosine, lpips

__all__ = [
    "Distance", "ImageFeatures", "Scorer", "difference_map", "distance", "feature_cosine", "lpips", "scorer_named",
]  # fmt: skip
