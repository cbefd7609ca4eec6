"""95% intervals: Wilson's of a share, the bootstrap of anything else, also of paired differences. Pure numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Z = 1.959964  # 95%


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share. ValueError for a share of nothing."""
    if not 0 <= right <= of or of == 0:
        raise ValueError(f"{right} of {of} is no share: give a count out of at least one.")
    p, n = right / of, of
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def bootstrap(
    statistic: Callable[[np.ndarray], float], rows: np.ndarray, *, seed: int = 0, draws: int = 200, biased: bool = False
) -> tuple[float, float]:
    """The 95% interval of a statistic of rows (n, …), drawn again with replacement `draws` times.

    biased: the statistic, such as a Frechet distance, is larger on rows that repeat; its percentiles are moved so that
    their mean is the statistic of the rows themselves.
    """
    rng = np.random.default_rng(seed)
    values = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(draws)]
    low, high = np.quantile(values, (0.025, 0.975)) + (statistic(rows) - np.mean(values) if biased else 0.0)
    return float(low), float(high)


def paired_difference(
    found: Mapping[tuple[str, int], float], base: Mapping[tuple[str, int], float]
) -> tuple[float, float, float]:
    """The paired difference `found` - `base`, both by (prompt, seed): its mean over the prompts and 95% interval.

    A prompt's difference is the mean of its seeds'. `base` may hold more.
    """
    by_prompt: dict[str, list[float]] = {}
    for (prompt, seed), value in found.items():
        by_prompt.setdefault(prompt, []).append(value - base[prompt, seed])
    means = np.array([np.mean(differences) for differences in by_prompt.values()])
    return float(means.mean()), *bootstrap(np.mean, means, draws=1000)
