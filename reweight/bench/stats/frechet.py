"""The Fréchet distance between normal distributions fitted to features (Heusel et al., arXiv 1706.08500)."""

from __future__ import annotations

import numpy as np


def frechet(features: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Distance of features (n, d) from a reference with mean (d,) and covariance (d, d); 0 for equal moments.

    It is biased upwards for small n: compare only distances with the same n.
    """
    own = np.cov(features, rowvar=False)
    root = _root(covariance)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ own @ root), 0, None)).sum()
    apart = ((features.mean(0) - mean) ** 2).sum()
    return float(apart + np.trace(own) + np.trace(covariance) - 2 * cross)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
