"""Drawings as SVG text: heatmaps, curves and rank shifts. Colours live in static/style.css, so both themes work.

Cells and lines carry their scores in data attributes; static/live.js repaints them when low or high moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ..address import SLIDER

LEFT, TOP, ROW, BOTTOM = 112, 26, 30, 40
WIDTH = 640
WEIGHT_SPAN = 0.4  # a weight this far from 1 has the full colour
PALE_FROM = {"importance": 0.65, "weight": 0.78}  # the shade from which white reads better than ink: at least 4 to 1


def weight_shade(w: float) -> float:
    """A weight as a colour position in [-1, 1]; 0 is w = 1."""
    return float(np.clip((w - 1) / WEIGHT_SPAN, -1, 1))


def heatmap(
    values: np.ndarray, scores: np.ndarray, names: Sequence[str], notes: np.ndarray, *, kind: str, on: np.ndarray,
    title: str, interval: tuple[np.ndarray, np.ndarray] | None = None,
) -> str:  # fmt: skip
    """Blocks down, steps across. kind "importance" shades values in [0, 1]; "weight" shades them about 1.

    values, scores: (T, m); names: the m row labels; notes: (T, m) texts that explain a cell; on: (T, m) bool, where the
    schedule applies; interval: both ends of every score's interval, each (T, m), a line across the foot of the cell, whose
    left edge is 0 and whose right edge is 1. A click or Enter on a cell shows its note.
    """
    T, m = values.shape
    wide = (WIDTH - LEFT - 8) / T
    height = TOP + ROW * m + BOTTOM
    parts = [
        f'<svg class="rw-heat rw-{kind}" viewBox="0 0 {WIDTH} {height}" role="grid" aria-label="{escape(title)}"'
        f' data-span="{WEIGHT_SPAN}" data-pale="{PALE_FROM[kind]}">',
        f'<text class="rw-title" x="{LEFT}" y="15">{escape(title)}</text>',
    ]
    for i in range(m):
        y = TOP + ROW * i
        parts.append(
            f'<g role="row"><text class="rw-name" x="{LEFT - 8}" y="{y + ROW / 2 + 4}">{escape(names[i])}</text>'
        )
        for t in range(T):
            value = values[t, i]
            shade = float(value) if kind == "importance" else weight_shade(value)
            pale = " rw-pale" if abs(shade) > PALE_FROM[kind] else ""
            x, note = LEFT + wide * t, escape(str(notes[t, i]))
            number = f"{value:.2f}"
            label = escape(f"{names[i]}, step {t + 1}: {number}")
            parts.append(
                f'<g class="rw-cell" role="gridcell" tabindex="{0 if i == t == 0 else -1}" data-row="{i}" data-column="{t}"'
                f' data-score="{scores[t, i]:.5f}" data-on="{int(on[t, i])}" data-note="{note}" aria-label="{label}"'
                f' style="--v:{shade:.3f}"><rect x="{x + 1:.1f}" y="{y + 1}" width="{wide - 2:.1f}" height="{ROW - 2}" rx="3"/>'
                + (
                    f'<text class="rw-number{pale}" x="{x + wide / 2:.1f}" y="{y + ROW / 2 + 4}">{number}</text>'
                    if wide >= 32
                    else ""
                )
                + ("" if interval is None else _interval(interval[0][t, i], interval[1][t, i], x, y, wide, pale))
                + "</g>"
            )
        parts.append("</g>")
    every = max(1, round(T / 12))
    for t in range(0, T, every):
        parts.append(f'<text class="rw-step" x="{LEFT + wide * (t + 0.5):.1f}" y="{TOP + ROW * m + 15}">{t + 1}</text>')
    parts.append(
        f'<text class="rw-axis" x="{LEFT}" y="{height - 6}">step 1: pure noise</text>'
        f'<text class="rw-axis rw-end" x="{WIDTH - 8}" y="{height - 6}">step {T}: last details</text></svg>'
    )
    return "".join(parts)


def _interval(low: float, high: float, x: float, y: float, wide: float, pale: str) -> str:
    left, right = (x + 4 + (wide - 8) * end for end in (low, high))
    foot = y + ROW - 5
    return f'<line class="rw-interval{pale}" x1="{left:.1f}" x2="{right:.1f}" y1="{foot}" y2="{foot}"/>'


def curves(weights: np.ndarray, scores: np.ndarray, names: Sequence[str], on: np.ndarray) -> str:
    """Each block's weight w(t) over the steps, (T, m); one line a block."""
    T, m = weights.shape
    height, top, bottom, right = 260, 26, 34, 124
    low, high = SLIDER

    def x(t: int) -> float:
        return 40 + (WIDTH - 40 - right) * (t / (T - 1) if T > 1 else 0.5)

    def y(w: float) -> float:
        return top + (height - top - bottom) * (high - min(max(w, low), high)) / (high - low)

    parts = [
        f'<svg class="rw-curves" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Weight of each block over the steps"'
        f' data-top="{top}" data-span="{height - top - bottom}" data-low="{low}" data-high="{high}">',
        '<text class="rw-title" x="40" y="15">Weight w(t) of each block</text>',
    ]
    for w in np.linspace(low, high, 7).round(2):
        strong = " rw-one" if w == 1 else ""
        parts.append(
            f'<line class="rw-rule{strong}" x1="40" x2="{WIDTH - right}" y1="{y(w):.1f}" y2="{y(w):.1f}"/>'
            f'<text class="rw-tick" x="34" y="{y(w) + 4:.1f}">{w:.1f}</text>'
        )
    ends = _apart([y(weights[-1, i]) for i in range(m)], 15)
    for i in range(m):
        line = " ".join(f"{x(t):.1f},{y(weights[t, i]):.1f}" for t in range(T))
        data = " ".join(f"{score:.4f}" for score in scores[:, i])
        mask = " ".join(str(int(value)) for value in on[:, i])
        parts.append(f'<polyline class="rw-line rw-c{i % 7}" points="{line}" data-scores="{data}" data-mask="{mask}"/>')
        if T == 1:
            parts.append(f'<circle class="rw-dot rw-c{i % 7}" cx="{x(0):.1f}" cy="{y(weights[0, i]):.1f}" r="4"/>')
        parts.append(
            f'<text class="rw-key rw-c{i % 7}" x="{WIDTH - right + 8}" y="{ends[i] + 4:.1f}">{escape(names[i])}</text>'
        )
    parts.append(_step_ticks(T, x, height - 12))
    return "".join(parts) + "</svg>"


def ranks(ranking: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A bump chart. ranking: for each step the block positions, least important first; the top is most important."""
    T, m = len(ranking), len(ranking[0])
    top, gap, right = 34, 28, 124
    height = top + gap * m + 24

    def x(t: int) -> float:
        return 40 + (WIDTH - 40 - right) * (t / (T - 1) if T > 1 else 0.5)

    place = np.array([[m - 1 - list(row).index(i) for i in range(m)] for row in ranking])  # (T, m), 0 is most important
    parts = [
        f'<svg class="rw-ranks" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Rank of each block at each step">',
        '<text class="rw-title" x="40" y="15">Rank: most important on top</text>',
    ]
    for k in range(m):
        parts.append(f'<text class="rw-tick" x="24" y="{top + gap * k + 4}">{k + 1}</text>')
    for i in range(m):
        points = [(x(t), top + gap * place[t, i]) for t in range(T)]
        parts.append(
            f'<polyline class="rw-line rw-c{i % 7}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'
            + "".join(f'<circle class="rw-dot rw-c{i % 7}" cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in points)
            + f'<text class="rw-key rw-c{i % 7}" x="{WIDTH - right + 10}" y="{points[-1][1] + 4}">{escape(names[i])}</text>'
        )
    parts.append(_step_ticks(T, x, height - 6))
    return "".join(parts) + "</svg>"


def legend(kind: str) -> str:
    """The colour scale of a heatmap, in words at both ends."""
    ends = {"importance": ("less important", "more important"), "weight": ("below 1", "above 1")}[kind]
    return f'<div class="rw-legend rw-legend-{kind}"><span>{ends[0]}</span><i></i><span>{ends[1]}</span></div>'


def _step_ticks(T: int, x, y: float) -> str:
    every = max(1, round(T / 12))
    return "".join(f'<text class="rw-step" x="{x(t):.1f}" y="{y}">{t + 1}</text>' for t in range(0, T, every))


def _apart(heights: list[float], gap: float) -> list[float]:
    """The same heights, moved down as little as keeps labels `gap` apart."""
    moved, last = list(heights), -1e9
    for i in sorted(range(len(heights)), key=heights.__getitem__):
        moved[i] = last = max(heights[i], last + gap)
    return moved
