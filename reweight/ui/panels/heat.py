"""Heatmaps as SVG text: blocks down, steps across. static/instrument.js repaints them; colours are in style.css."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

LEFT, TOP, ROW, BOTTOM = 118, 26, 30, 34
CELL = (12, 64)  # least and largest width of a cell
WIDTH = 480
DECADES = 3  # of the colours of shares
WEIGHT_SPAN = 0.5  # a weight this far from 1 has the full colour
PALE_FROM = {
    "importance": 0.69,
    "weight": 0.94,
}  # the shade from which white reads better than black: at least 4.5 to 1


def weight_shade(w: float) -> float:
    """A weight as a colour position in [-1, 1]; 0 is w = 1."""
    return float(np.clip((w - 1) / WEIGHT_SPAN, -1, 1))


def share_shade(share: float) -> float:
    """A share of the largest as a colour position in [0, 1], logarithmic over three powers of ten."""
    return float(np.clip(1 + np.log10(max(share, 1e-9)) / DECADES, 0, 1))


def heatmap(
    values: np.ndarray, names: Sequence[str], *, kind: str, title: str, notes: np.ndarray | None = None,
    interval: tuple[np.ndarray, np.ndarray] | None = None, measured: np.ndarray | None = None,
) -> str:  # fmt: skip
    """Values (T, m). kind "importance" shades [0, 1]; "weight" shades weights about 1, and its cells can be painted.

    names: the m row labels. notes: (T, m) texts that explain a cell. interval: both ends of every score's interval, each
    (T, m), a line across the foot of the cell, whose left edge is 0 and whose right edge is 1. The headers of rows and
    columns of weights are buttons that act on a whole block or step. measured: (T, m), of each value, which
    is a share of the largest, the mean squared error, measured once, that its CSV has instead; colours are logarithmic then.
    """
    T, m = values.shape
    wide = min(CELL[1], (WIDTH - LEFT) / T)
    width, height = LEFT + wide * T + 6, TOP + ROW * m + BOTTOM
    painted = kind == "weight"
    parts = [
        f'<svg class="rw-heat rw-{kind}" viewBox="0 0 {width:g} {height}" style="--natural:{width:g}px;max-width:{max(width, 250) * 1.1:g}px" '
        f'role="grid" aria-label="{escape(title)}" data-span="{WEIGHT_SPAN}" data-pale="{PALE_FROM[kind]}"{"" if measured is None else " data-alone"}>'
    ]
    every = 1 if wide >= 18 else 5 if T > 25 else 2
    parts.append('<g role="row">' if painted else "<g>")
    for t in range(T):
        x = LEFT + wide * t
        text = f"step {t + 1}" if wide >= 46 else str(t + 1) if (t + 1) % every == 0 or t == 0 else ""
        head = f' class="rw-head" tabindex="-1" role="columnheader" data-column="{t}" aria-label="all blocks at step {t + 1}"'
        parts.append(
            f'<g{head if painted else ""}><rect class="rw-hit" x="{x:g}" y="2" width="{wide:g}" height="{TOP - 4}"/>'
            f'<text class="rw-step" x="{x + wide / 2:.1f}" y="{TOP - 8}">{text}</text></g>'
        )
    parts.append("</g>")
    for i in range(m):
        y = TOP + ROW * i
        name = escape(names[i])
        head = f' tabindex="-1" role="rowheader" data-row="{i}" aria-label="{name} at all steps"'
        parts.append('<g role="row">')
        for t in range(T):
            told = None if measured is None else measured[t, i]
            parts.append(_cell(values[t, i], told, kind, name, t, i, LEFT + wide * t, y, wide, notes, interval))
        parts.append(  # over the cells, which move below it where the drawing is scrolled
            f'<g class="rw-row-head{" rw-head" if painted else ""}"{head if painted else ""}><rect class="rw-hit" x="0" y="{y}" '
            f'width="{LEFT - 4}" height="{ROW}"/><text class="rw-name" x="{LEFT - 8}" y="{y + ROW / 2 + 4}">{name}</text></g></g>'
        )
    return "".join(parts) + (
        f'<text class="rw-axis" x="{LEFT}" y="{height - 14}">{"noise → picture" if wide * T < 240 else "step 1: pure noise"}</text>'
        + (
            f'<text class="rw-axis rw-end" x="{width - 6:g}" y="{height - 14}">step {T}: last details</text>'
            if wide * T >= 240
            else ""
        )
        + "</svg>"
    )


def _cell(
    value: float, told: float | None, kind: str, name: str, t: int, i: int, x: float, y: float, wide: float, notes: np.ndarray | None,
    interval: tuple[np.ndarray, np.ndarray] | None,
) -> str:  # fmt: skip
    shade = weight_shade(value) if kind == "weight" else float(value) if told is None else share_shade(value)
    pale = " rw-pale" if abs(shade) > PALE_FROM[kind] else ""
    number = f"{min(value, 0.99) if kind == 'importance' and value < 1 else value:.2f}"  # 1.00 is 1
    if told is not None and value < 0.005:
        number = "&lt;.01"
    note = "" if notes is None else f' data-note="{escape(str(notes[t, i]))}"'
    ends = "" if interval is None else f' data-low="{interval[0][t, i]:.4g}" data-high="{interval[1][t, i]:.4g}"'
    narrow = " rw-narrow" if wide < 34 else ""
    text = (
        f'<text class="rw-number{pale}{narrow}" x="{x + wide / 2:.1f}" y="{y + ROW / 2 + 4}">{number}</text>'
        if wide >= 27
        else ""
    )
    return (
        f'<g class="rw-cell" role="gridcell" tabindex="{0 if i == t == 0 else -1}" data-row="{i}" data-column="{t}"{note}{ends} '
        f'data-name="{name}" data-value="{value if told is None else told:.4g}" aria-label="{name}, step {t + 1}: {number}" style="--v:{shade:.3f}">'
        f'<rect x="{x + 1:.1f}" y="{y + 1}" width="{wide - 2:.1f}" height="{ROW - 2}" rx="4"/>{text}'
        + ("" if interval is None else _interval(interval[0][t, i], interval[1][t, i], x, y, wide, pale))
        + "</g>"
    )


def _interval(low: float, high: float, x: float, y: float, wide: float, pale: str) -> str:
    left, right = (x + 4 + (wide - 8) * end for end in (low, high))
    foot = y + ROW - 5
    return f'<line class="rw-interval{pale}" x1="{left:.1f}" x2="{right:.1f}" y1="{foot}" y2="{foot}"/>'


def legend(kind: str) -> str:
    """The colour scale of a heatmap, in words at both ends."""
    ends = {"importance": ("less important", "more important"), "weight": ("below 1: weaker", "above 1: stronger")}[
        kind
    ]
    return f'<div class="rw-legend rw-legend-{kind}"><span>{ends[0]}</span><i></i><span>{ends[1]}</span></div>'
