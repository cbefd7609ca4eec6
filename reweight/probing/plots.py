"""Matplotlib figures from plain arrays, for papers and slides."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def importance_figure(scores: np.ndarray, names: Sequence[str], *, title: str = "") -> Figure:
    """A heatmap of scores (T, m): blocks down, steps across, shared scale [0, 1].

    names: of the m blocks. title: shown as it is, on two lines at most. ValueError when names and scores do not fit.
    """
    from matplotlib.figure import Figure

    if scores.ndim != 2 or len(names) != scores.shape[1]:
        raise ValueError(f"Scores have shape (steps, {len(names)}) for {len(names)} names, not {scores.shape}.")
    T, m = scores.shape
    figure = Figure(figsize=(max(4.5, 0.5 * T + 2.4), 0.42 * m + 1.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(scores.T, cmap="YlOrBr", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(T), [str(t + 1) for t in range(T)])
    axes.set_yticks(range(m), list(names), parse_math=False)
    axes.set_xlabel("denoising step")
    lines = wrap(title, 60, max_lines=2, placeholder="…")
    axes.set_title("\n".join(lines), fontsize=9, parse_math=False)
    if T <= 20:
        for (t, i), value in np.ndenumerate(scores):
            axes.text(
                t, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if value > 0.6 else "black"
            )
    figure.colorbar(image, label="importance score")
    return figure
