"""How a picture is judged: how well it fits its prompt by a scorer, and how far it is from the vanilla one."""

from .choose import scorer_named
from .identity import Distance, difference_map, distance, feature_cosine, lpips
from .scorer import ImageFeatures, Scorer

__all__ = [
    "Distance", "ImageFeatures", "Scorer", "difference_map", "distance", "feature_cosine", "lpips", "scorer_named",
]  # fmt: skip
