"""The U-Net as a drawing that is a control: its target blocks, sized by resolution, skips, and the text going in.

Static SVG text; static/instrument.js colours the blocks and listens to them. Colours live in static/style.css.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

WIDTH, MARGIN, TOP, GAP, HEAD = 400, 10, 52, 58, 18
MIDDLE = WIDTH // 2
Box = tuple[float, float, float, float]  # x, y, width, height


def unet(blocks: Sequence[dict[str, Any]]) -> str:
    """The U for blocks as `names.block_facts` gives them, in execution order."""
    deepest = max(block["level"] for block in blocks)
    largest = max(block["side"] for block in blocks)
    boxes = [_box(block, deepest, largest) for block in blocks]
    height = max(y + h for _, y, _, h in boxes) + 22
    drawn = "".join(_block(i, block, box) for i, (block, box) in enumerate(zip(blocks, boxes, strict=True)))
    return (
        f'<svg class="rw-unet" viewBox="{-MARGIN} 0 {WIDTH + 2 * MARGIN} {height:g}" role="group" aria-label="The U-Net: a click on a block '
        f'switches it off">{_ends(boxes)}{_skips(blocks, boxes)}{_text(blocks, boxes)}{_way(boxes)}{drawn}</svg>'
    )


def _box(block: dict[str, Any], deepest: int, largest: int) -> Box:
    """Its size tells its resolution; the level, how deep it lies."""
    share = math.log2(largest / block["side"]) / max(1.0, math.log2(largest))
    w = round(78 - 38 * share)
    h = round(w * 0.55)
    if block["stage"] == "mid":
        return MIDDLE - w / 2, TOP + GAP * deepest + 40, w, h
    reach = 112 - 26 * block["level"]
    x = MIDDLE - reach if block["stage"] == "down" else MIDDLE + reach
    return x - w / 2, TOP + GAP * block["level"], w, h


def _block(i: int, block: dict[str, Any], box: Box) -> str:
    x, y, w, h = box
    name = escape(block["name"])
    stage, size = block["name"].split(" ", 1)
    if block["stage"] == "mid":
        label = f'<text class="rw-place rw-mid" x="{x + w / 2:g}" y="{y + h + 15:g}">{name}</text>'
    else:
        at, anchor = (x - 7, "end") if block["stage"] == "down" else (x + w + 7, "start")
        label = " ".join(
            f'<text class="rw-place" text-anchor="{anchor}" x="{at:g}" y="{y + h / 2 + dy:g}">{escape(text)}</text>'
            for text, dy in ((stage, -3), (size, 11))
        )
    return (
        f'<g class="rw-block" data-block="{i}" tabindex="0" role="button" aria-label="{name}">'
        f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="6"/>'
        f'{label} <text class="rw-number" x="{x + w / 2:g}" y="{y + h / 2 + 4.5:g}"></text></g>'
    )


def _skips(blocks: Sequence[dict[str, Any]], boxes: Sequence[Box]) -> str:
    """A line from each encoder block to the decoder block of the same level."""
    drawn = ""
    for block, (x, y, w, h) in zip(blocks, boxes, strict=True):
        for other, (x2, *_) in zip(blocks, boxes, strict=True):
            if (block["stage"], other["stage"]) == ("down", "up") and block["level"] == other["level"]:
                drawn += f'<line class="rw-skip" x1="{x + w:g}" x2="{x2:g}" y1="{y + h / 2:g}" y2="{y + h / 2:g}"/>'
                if not block["level"]:
                    drawn += f'<text class="rw-small" x="{MIDDLE - 36}" y="{y + h / 2 - 4:g}">skip</text>'
    return drawn


def _way(boxes: Sequence[Box]) -> str:
    """The way through the blocks."""
    drawn = ""
    for (x, y, w, h), (x2, y2, w2, h2) in pairwise(boxes):
        down = y2 > y
        drawn += (
            f'<line class="rw-way" x1="{x + w / 2:g}" y1="{y + h if down else y:g}" x2="{x2 + w2 / 2:g}" '
            f'y2="{y2 if down else y2 + h2:g}"/>'
        )
    return drawn


def _ends(boxes: Sequence[Box]) -> str:
    """The noisy picture in and the clearer one out."""
    (x, y, w, _), (x2, y2, w2, _) = boxes[0], boxes[-1]
    start, end = x + w / 2, x2 + w2 / 2
    return (
        '<defs><marker id="rw-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" class="rw-tip"/></marker></defs>'
        f'<line class="rw-way" x1="{start:g}" x2="{start:g}" y1="{HEAD + 5}" y2="{y - 1:g}" marker-end="url(#rw-arrow)"/>'
        f'<line class="rw-way" x1="{end:g}" x2="{end:g}" y1="{y2:g}" y2="{HEAD + 6}" marker-end="url(#rw-arrow)"/>'
        f'<text class="rw-small" x="{start:g}" y="{HEAD}">noisy in</text>'
        f'<text class="rw-small" x="{end:g}" y="{HEAD}">clearer out</text>'
    )


def _text(blocks: Sequence[dict[str, Any]], boxes: Sequence[Box]) -> str:
    """The prompt, which goes into every block."""
    lowest = max(y for _, y, _, _ in boxes)
    lines = f'<line x1="{MIDDLE}" x2="{MIDDLE}" y1="{HEAD + 8}" y2="{lowest:g}"/>'
    for block, (x, y, w, h) in zip(blocks, boxes, strict=True):
        if block["stage"] != "mid":
            edge = x + w if block["stage"] == "down" else x
            lines += f'<line x1="{MIDDLE}" x2="{edge:g}" y1="{y + h / 2 + 7:g}" y2="{y + h / 2 + 7:g}"/>'
    return (
        f'<g class="rw-attention">{lines}</g><rect class="rw-prompt" x="{MIDDLE - 54}" y="{HEAD - 15}" width="108" height="22" rx="11"/>'
        f'<text class="rw-small" x="{MIDDLE}" y="{HEAD}">your prompt</text>'
    )
