"""Matplotlib figures from plain arrays, for papers and slides."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS = "DejaVu Sans"  # comes with matplotlib
OTHERS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Serif CJK SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Source Han Sans SC", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans", "Malgun Gothic",
    "Arial Unicode MS", "Noto Sans", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji",
    "Segoe UI Emoji", "Segoe UI Symbol", "Symbola",
)  # fmt: skip
SQUARE = "□"


def importance_figure(scores: np.ndarray, names: Sequence[str], *, title: str = "") -> Figure:
    """A heatmap of scores (T, m): blocks down, steps across, shared scale [0, 1].

    names: of the m blocks. title: at most two lines; characters that no font has become a square. ValueError if the
    number of names is not m.
    """
    from matplotlib.figure import Figure

    if scores.ndim != 2 or len(names) != scores.shape[1]:
        raise ValueError(f"Scores have shape (steps, {len(names)}) for {len(names)} names, not {scores.shape}.")
    T, m = scores.shape
    figure = Figure(figsize=(max(4.5, 0.5 * T + 2.4), 0.42 * m + 1.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(scores.T, cmap="YlOrBr", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(T), [str(t + 1) for t in range(T)])
    fonts = _fonts("".join(names) + title)
    axes.set_yticks(range(m), [_drawable(name, fonts) for name in names], parse_math=False, fontfamily=fonts)
    axes.set_xlabel("denoising step")
    lines = wrap(_drawable(title, fonts), 60, max_lines=2, placeholder="…")
    axes.set_title("\n".join(lines), fontsize=9, parse_math=False, fontfamily=fonts)
    if T <= 20:
        for (t, i), value in np.ndenumerate(scores):
            axes.text(
                t, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if value > 0.6 else "black"
            )
    figure.colorbar(image, label="importance score")
    return figure


def _fonts(text: str) -> list[str]:
    """Font families that together cover as much of a text as the installed fonts can, ours first."""
    chosen, missing = [OURS], {letter for letter in text if not _has(OURS, letter)}
    for family in OTHERS:
        if missing and (found := {letter for letter in missing if _has(family, letter)}):
            chosen.append(family)
            missing -= found
    return chosen


def _drawable(text: str, fonts: Sequence[str]) -> str:
    """The text with a square for each character that none of the fonts has."""
    return "".join(
        letter if letter.isspace() or any(_has(family, letter) for family in fonts) else SQUARE for letter in text
    )


def _has(family: str, letter: str) -> bool:
    path = _path(family)
    return path is not None and ord(letter) in _letters(path)


@lru_cache(maxsize=32)
def _path(family: str) -> str | None:
    from matplotlib.font_manager import fontManager

    plain = [font for font in fontManager.ttflist if font.name == family and font.style == "normal"]
    return min(plain, key=lambda font: abs(int(font.weight) - 400)).fname if plain else None


@lru_cache(maxsize=32)
def _letters(path: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(path).get_charmap())
