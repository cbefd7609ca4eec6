"""The U-Net as a drawing that is a control: its target blocks, sized by resolution, skips, and the text going in.

Static SVG text; static/instrument.js colours the blocks and listens to them. Colours live in static/style.css.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

WIDTH, TOP, GAP = 400, 34, 62


def unet(blocks: Sequence[dict[str, Any]]) -> str:
    """The U for blocks as `names.block_facts` gives them, in execution order."""
    deepest = max(block["level"] for block in blocks)
    places = [_place(block, deepest, max(b["side"] for b in blocks)) for block in blocks]
    height = max(y + h for _, y, _, h in places) + 30
    parts = [
        f'<svg class="rw-unet" viewBox="0 0 {WIDTH} {height}" role="group" aria-label="The U-Net: click a block to switch it off">',
        _skips(blocks, places),
        _flow(places),
        _text(places, height),
    ]
    for i, (block, (x, y, w, h)) in enumerate(zip(blocks, places, strict=True)):
        name = escape(block["name"])
        above = block["stage"] != "mid"
        parts.append(
            f'<g class="rw-block" data-block="{i}" tabindex="0" role="button" aria-label="{name}">'
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6"/>'
            f'<text class="rw-number" x="{x + w / 2:g}" y="{y + h / 2 + 4.5:g}"></text>'
            f'<text class="rw-place" x="{x + w / 2:g}" y="{y - 6 if above else y + h + 15:g}">{name}</text></g>'
        )
    return "".join(parts) + "</svg>"


def _place(block: dict[str, Any], deepest: int, largest: int) -> tuple[int, int, int, int]:
    """x, y, width, height of a block. Its size tells its resolution; the level, how deep it lies."""
    w = round(38 + 34 * (1 - math.log2(largest / block["side"]) / max(1, math.log2(largest))))
    h = round(w * 0.6)
    middle = WIDTH // 2
    if block["stage"] == "mid":
        return middle - w // 2, TOP + GAP * deepest + 46, w, h
    reach = 128 - 30 * block["level"]
    x = middle - reach if block["stage"] == "down" else middle + reach
    return x - w // 2, TOP + GAP * block["level"], w, h


def _skips(blocks: Sequence[dict[str, Any]], places: Sequence[tuple[int, int, int, int]]) -> str:
    """A line from each encoder block to the decoder block of the same level."""
    drawn = ""
    for block, (x, y, w, h) in zip(blocks, places, strict=True):
        for other, (x2, y2, _, h2) in zip(blocks, places, strict=True):
            if block["stage"] == "down" and other["stage"] == "up" and block["level"] == other["level"]:
                drawn += f'<line class="rw-skip" x1="{x + w}" y1="{y + h / 2:g}" x2="{x2}" y2="{y2 + h2 / 2:g}"/>'
                drawn += f'<text class="rw-small" x="{WIDTH // 2}" y="{y + h / 2 - 5:g}">skip</text>'
    return drawn


def _flow(places: Sequence[tuple[int, int, int, int]]) -> str:
    """The way through the blocks, with the noisy picture in and the estimated noise out."""
    drawn = ""
    for (x, y, w, h), (x2, y2, w2, h2) in pairwise(places):
        if y2 > y:
            start, end = (
                (x + w / 2, y + h),
                (x2 + w2 / 2 if abs(x2 - x) < 70 else x2, y2 if abs(x2 - x) < 70 else y2 + h2 / 2),
            )
        else:
            start, end = (
                (x + w / 2 if abs(x2 - x) < 70 else x + w, y if abs(x2 - x) < 70 else y + h / 2),
                (x2 + w2 / 2, y2 + h2),
            )
        drawn += f'<line class="rw-way" x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"/>'
    (x, y, _, h), (x2, y2, w2, h2) = places[0], places[-1]
    drawn += (
        f'<line class="rw-way" x1="6" x2="{x - 3}" y1="{y + h / 2:g}" y2="{y + h / 2:g}" marker-end="url(#rw-arrow)"/>'
    )
    drawn += f'<line class="rw-way" x1="{x2 + w2}" x2="{WIDTH - 8}" y1="{y2 + h2 / 2:g}" y2="{y2 + h2 / 2:g}" marker-end="url(#rw-arrow)"/>'
    drawn += f'<text class="rw-small" x="4" y="{y + h / 2 + 15:g}" text-anchor="start">noise in</text>'
    drawn += f'<text class="rw-small rw-end" x="{WIDTH - 4}" y="{y2 + h2 / 2 + 15:g}">picture out</text>'
    arrow = '<defs><marker id="rw-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" class="rw-tip"/></marker></defs>'
    return arrow + drawn


def _text(places: Sequence[tuple[int, int, int, int]], height: int) -> str:
    """The prompt, which goes into every block."""
    x, y = 52, height - 26
    lines = "".join(
        f'<path class="rw-attention" d="M{x} {y - 10} Q{(x + bx + w / 2) / 2:g} {max(y - 30, by + h + 8):g} {bx + w / 2:g} {by + h}"/>'
        for bx, by, w, h in places
    )
    return (
        f'{lines}<rect class="rw-prompt" x="{x - 42}" y="{y - 12}" width="84" height="24" rx="12"/>'
        f'<text class="rw-small rw-mid" x="{x}" y="{y + 4}">your prompt</text>'
    )
