"""A scatter plot with joined points, as SVG text. Colours live in static/style.css."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

ALONE = ["", "", 1]  # low_95, high_95 and n of one measurement, which has no interval
WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 450, 290, 40, 44, 138, 40


def scatter(series: Mapping[str, Sequence[tuple[float, float, int]]], across: str, up: str, title: str) -> str:
    """Series by name of (x, y, number), x and y from 0 to 1; the number is written at the point. Each is one measurement."""

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(value, 0), 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value, 0), 1))

    rows: list[list[object]] = [["series", "k", across, up, "low_95", "high_95", "n"]]
    rows += [[name, k, round(a, 4), round(b, 4), *ALONE] for name, points in series.items() for a, b, k in points]
    parts = [
        f'<svg class="rw-scatter" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'data-table="{escape(json.dumps(rows))}">'
        f'<text class="rw-title" x="{LEFT}" y="15">{escape(title)}</text>'
    ]
    for k in range(6):
        v = k / 5
        parts.append(
            f'<line class="rw-rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):g}" y2="{y(v):g}"/>'
            f'<text class="rw-tick" x="{LEFT - 6}" y="{y(v) + 4:g}">{v:g}</text>'
            f'<text class="rw-step" x="{x(v):g}" y="{HEIGHT - BOTTOM + 16}">{v:g}</text>'
        )
    parts.append(
        f'<text class="rw-axis" x="{LEFT}" y="{HEIGHT - 6}">{escape(across)} →</text>'
        f'<text class="rw-axis" x="{LEFT + 6}" y="{TOP - 8}">{escape(up)} ↑</text>'
    )
    for i, (name, points) in enumerate(series.items()):
        line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b, _ in points)
        parts.append(f'<polyline class="rw-line rw-c{i % 7}" points="{line}"/>')
        for a, b, k in points:
            parts.append(
                f'<circle class="rw-dot rw-c{i % 7}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="4"><title>{escape(name)}, k = {k}: '
                f"{a:.0%} of the time saved, SSIM {b:.2f}</title></circle>"
            )
        parts.append(
            f'<text class="rw-key rw-c{i % 7}" x="{WIDTH - RIGHT + 10}" y="{TOP + 16 + 18 * i}">{escape(name)}</text>'
        )
    return "".join(parts) + "</svg>"
