"""95% confidence intervals: Wilson's for proportions, bootstrap intervals for other statistics and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Z = 1.959964  # 95%


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion. ValueError if `of` is 0."""
    if not 0 <= right <= of or of == 0:
        raise ValueError(f"{right} of {of} is no share: give a count out of at least one.")
    p, n = right / of, of
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def bootstrap(
    statistic: Callable[[np.ndarray], float], rows: np.ndarray, *, seed: int = 0, draws: int = 200, biased: bool = False
) -> tuple[float, float]:
    """The 95% bootstrap interval of a statistic of rows (n, …), with `draws` resamples.

    biased: the statistic, such as a Fréchet distance, is larger on resamples with repeated rows; the percentiles are
    shifted so that the resamples' mean is the statistic of the rows.
    """
    rng = np.random.default_rng(seed)
    values = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(draws)]
    low, high = np.quantile(values, (0.025, 0.975)) + (statistic(rows) - np.mean(values) if biased else 0.0)
    return float(low), float(high)


def paired_difference(
    found: Mapping[tuple[str, int], float], base: Mapping[tuple[str, int], float]
) -> tuple[float, float, float]:
    """The paired difference `found` - `base`, both by (prompt, seed): mean over the prompts with 95% interval.

    A prompt's difference is the mean over its seeds. `base` may have further entries.
    """
    by_prompt: dict[str, list[float]] = {}
    for (prompt, seed), value in found.items():
        by_prompt.setdefault(prompt, []).append(value - base[prompt, seed])
    means = np.array([np.mean(differences) for differences in by_prompt.values()])
    return float(means.mean()), *bootstrap(np.mean, means, draws=1000)
