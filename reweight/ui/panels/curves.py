"""Curves over the steps and rank shifts, as SVG text. Colours live in static/style.css, so both themes work."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

WIDTH = 400  # at the size of a phone its text is still read
WEIGHTS = (0.0, 2.0)  # the range of the weights' axis
GAP = 15  # between labels


def curves(weights: np.ndarray, names: Sequence[str]) -> str:
    """Each block's weight w(t) over the steps, (T, m); one line a block. static/instrument.js moves them."""
    T, m = weights.shape
    height, top, bottom, right = 260, 26, 34, 124
    low, high = WEIGHTS

    def x(t: int) -> float:
        return 40 + (WIDTH - 40 - right) * (t / (T - 1) if T > 1 else 0.5)

    def y(w: float) -> float:
        return top + (height - top - bottom) * (high - min(max(w, low), high)) / (high - low)

    parts = [
        f'<svg class="rw-curves" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Weight of each block over the steps"'
        f' data-top="{top}" data-span="{height - top - bottom}" data-low="{low}" data-high="{high}" data-gap="{GAP}">',
        '<text class="rw-title" x="40" y="15">Weight w(t) of each block</text>',
    ]
    for w in np.linspace(low, high, 5).round(2):
        strong = " rw-one" if w == 1 else ""
        parts.append(
            f'<line class="rw-rule{strong}" x1="40" x2="{WIDTH - right}" y1="{y(w):.1f}" y2="{y(w):.1f}"/>'
            f'<text class="rw-tick" x="34" y="{y(w) + 4:.1f}">{w:.1f}</text>'
        )
    at = [y(weights[-1, i]) for i in range(m)]
    ends = _apart(at, GAP, height - bottom)
    for i in range(m):
        line = " ".join(f"{x(t):.1f},{y(weights[t, i]):.1f}" for t in range(T))
        parts.append(f'<polyline class="rw-line rw-c{i % 7}" points="{line}"/>')
        if T == 1:
            parts.append(f'<circle class="rw-dot rw-c{i % 7}" cx="{x(0):.1f}" cy="{y(weights[0, i]):.1f}" r="4"/>')
        parts.append(_key(names[i], i, WIDTH - right, at[i], ends[i]))
    return "".join(parts) + _step_ticks(T, x, height - 12) + "</svg>"


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """The rank of each block at each step, (T, m), 1 for the most important; equal scores share the mean of their ranks."""
    above = (scores[:, None, :] > scores[:, :, None]).sum(-1)
    equal = (scores[:, None, :] == scores[:, :, None]).sum(-1)
    return above + (equal + 1) / 2


def ranks(
    scores: np.ndarray, names: Sequence[str], *, of: str = "", interval: tuple[np.ndarray, np.ndarray] | None = None
) -> str:
    """A bump chart of scores (T, m): the most important on top; blocks of equal score share a rank.

    of: whose scores they are, within a sentence. interval: both ends of each score's interval, for the CSV.
    """
    T, m = scores.shape
    top, gap, right = 52, 28, 124
    height = top + gap * m + 24

    def x(t: int) -> float:
        return 40 + (WIDTH - 40 - right) * (t / (T - 1) if T > 1 else 0.5)

    rank = ranks_of(scores)
    rows: list[list[object]] = [["step", "block", "rank", "score", "score_low_95", "score_high_95"]]
    for t in range(T):
        for i in range(m):
            ends_of = ["", ""] if interval is None else [round(float(end[t, i]), 4) for end in interval]
            rows.append([t + 1, names[i], float(rank[t, i]), round(float(scores[t, i]), 4), *ends_of])
    by = f" by {of}" if of else ""
    parts = [
        f'<svg class="rw-ranks" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Rank of each block at each step{escape(by)}" '
        f'data-table="{escape(json.dumps(rows))}">',
        f'<text class="rw-title" x="16" y="15">Rank{escape(by)}</text>'
        '<text class="rw-axis" x="16" y="31">1 = most important; ties share a rank</text>',
    ]
    for k in range(m):
        parts.append(f'<text class="rw-tick" x="24" y="{top + gap * k + 4}">{k + 1}</text>')
    at = [top + gap * (rank[-1, i] - 1) for i in range(m)]
    ends = _apart(at, GAP, top + gap * m)
    for i in range(m):
        points = [(x(t), top + gap * (rank[t, i] - 1)) for t in range(T)]
        parts.append(
            f'<polyline class="rw-line rw-c{i % 7}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'
            + "".join(f'<circle class="rw-dot rw-c{i % 7}" cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in points)
            + _key(names[i], i, WIDTH - right, at[i], ends[i])
        )
    return "".join(parts) + _step_ticks(T, x, height - 6) + "</svg>"


def _step_ticks(T: int, x: Callable[[int], float], y: float) -> str:
    every = max(1, round(T / 12))
    return "".join(f'<text class="rw-step" x="{x(t):.1f}" y="{y}">{t + 1}</text>' for t in range(0, T, every))


def _key(name: str, i: int, x: float, at: float, end: float) -> str:
    """A line's label at its end, and a thin line to it from where the line itself ends."""
    return (
        f'<line class="rw-lead rw-c{i % 7}" x1="{x:g}" x2="{x + 12:g}" y1="{at:.1f}" y2="{end:.1f}"/>'
        f'<text class="rw-key rw-c{i % 7}" x="{x + 14:g}" y="{end + 4:.1f}">{escape(name)}</text>'
    )


def _apart(heights: list[float], gap: float, lowest: float) -> list[float]:
    """Heights for labels in the order of these, at least `gap` apart and none below `lowest`, if so many fit above it."""
    moved, last = list(heights), -1e9
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for i in order:
        moved[i] = last = max(heights[i], last + gap)
    last = lowest + gap
    for i in reversed(order):
        moved[i] = last = min(moved[i], last - gap)
    return moved
