"""A block opened: its parts in the order in which they run, one Transformer taken apart, and where the weight multiplies.

Static HTML, a list that reads from top to bottom; static/inside.js fills in the weights. Looks are in static/inside.css.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ...patching.insides import Attention, Part

ONWARD = {"down": "then on, and kept for the decoder as a skip", "mid": "then on to the decoder", "up": "then on"}


def opened(fact: dict[str, Any], parts: Sequence[Part], tokens: int) -> str:
    """A block as `names.block_facts` gives it, with the parts that `patching.insides.inside` finds in it.

    tokens: how many pieces of text the prompt is padded to.
    """
    side = fact["side"]
    transformers = [part for part in parts if part.kind == "transformer"]
    each = "its Transformer" if len(transformers) == 1 else f"each of its {len(transformers)} Transformers"
    parameters = sum(part.parameters for part in parts)
    return (
        f'<p class="rw-inside-lead">{len(parts)} modules with {_count(parameters)} parameters, on feature maps of '
        f"{side}×{side}. The weight multiplies the output of {each}. <span class='rw-soft'>({escape(fact['path'])})</span></p>"
        f'<ol class="rw-stack" aria-label="The parts of {escape(fact["name"])}, in order">'
        f"{''.join(_part(part, side) for part in parts)}</ol>"
        f"{_transformer(transformers[0], side, tokens, fact['stage'], 'The Transformer' if len(transformers) == 1 else 'One of the Transformers')}"
    )


def _part(part: Part, side: int) -> str:
    before, after = part.channels
    if part.kind == "resnet":
        width = f"{before - part.skip} + {part.skip} skip" if part.skip else f"{before}"
        return _item("resnet", "ResNet", f"{width} → {after} channels", "3×3 convolutions, conditioned on the step")
    if part.kind == "transformer":
        layers = "" if part.layers == 1 else f", {part.layers} layers"
        return _item("transformer", "Transformer", f"{after} channels{layers}", '× <b class="rw-w">1.00</b>')
    smaller = part.kind == "smaller"
    other = max(1, side // 2) if smaller else side * 2
    return _item("size", "Downsample" if smaller else "Upsample", f"{side}×{side} → {other}×{other}", "a convolution")


def _item(kind: str, name: str, width: str, does: str) -> str:
    return f'<li class="rw-part rw-part-{kind}"><b>{name}</b><span>{width}</span><small>{does}</small></li>'


def _transformer(part: Part, side: int, tokens: int, stage: str, title: str) -> str:
    width, places = part.channels[1], side * side
    steps = [_box("map", f"{width} × {side} × {side}", "input: <i>h</i>")]
    steps.append(_box("map", f"{places} tokens of {width}", "each position is a token"))
    if part.attention:
        looks = f"every token attends to all {places}"
        steps.append(_box("self", "Self-attention", f"{_heads(part.attention)}; {looks}", plus=True))
    if part.text:
        looks = (
            f"every token attends to the {tokens} tokens of <b>your prompt</b> ({part.text.looks_at_width} channels)"
        )
        steps.append(_box("text", "Cross-attention", f"{_heads(part.text)}; {looks}", plus=True))
    if part.hidden:
        steps.append(_box("ff", "Feed-forward", f"{width} → {part.hidden} → {width}, each token by itself", plus=True))
    repeated = f'<p class="rw-soft">The three, {part.layers} times in a row.</p>' if part.layers > 1 else ""
    return (
        f'<div class="rw-opened"><h4>{title}</h4><div class="rw-flow">'
        '<p class="rw-round"><span>residual: h is added to the result</span></p>'
        f"<ol>{''.join(steps)}{_box('map', '+ <i>h</i>', 'back to a map, plus the residual')}</ol></div>"
        f'<p class="rw-times"><b class="rw-w">1.00</b><span class="rw-eq"><i>h</i> ← <i>w</i> · Transformer(<i>h</i>)</span>'
        f'<span class="rw-at-steps"></span><span class="rw-soft">{ONWARD[stage]}</span></p>{repeated}'
        '<p class="rw-inside-says"></p></div>'
    )


def _box(kind: str, name: str, says: str, *, plus: bool = False) -> str:
    sign = '<i class="rw-plus" title="added to what came in">+</i>' if plus else ""
    return f'<li class="rw-part rw-part-{kind}"><b>{name}</b><small>{says}</small>{sign}</li>'


def _heads(attention: Attention) -> str:
    return f"{attention.heads} head{'s' if attention.heads > 1 else ''} of {attention.head_width}"


def _count(n: int) -> str:
    return f"{n / 1e6:.0f} million" if n >= 1e7 else f"{n / 1e6:.1f} million" if n >= 1e6 else f"{round(n, -3):,}"
