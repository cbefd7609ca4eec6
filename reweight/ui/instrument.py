"""The instrument that every screen has: the U-Net as a control, the paintable heatmap of weights, and their data."""

from __future__ import annotations

import hashlib
from typing import Any

from ..engine.engine import Engine
from ..engine.request import Request
from ..engine.resolving import Chosen, places_of
from ..methods.reweighting import OFF
from ..patching.insides import inside
from .panels.curves import curves
from .panels.heat import heatmap, legend
from .panels.inside import opened
from .panels.names import block_facts
from .panels.unet import unet

MARKUP = """
<section id="instrument" class="rw-card" aria-label="The U-Net and its weights">
  <div class="rw-bench">
    <div class="rw-unet-side">
      <div class="rw-line rw-over"><span class="rw-soft">a click applies to</span>
        <span id="steps-chosen" role="radiogroup" aria-label="Steps that a click applies to"></span>
        <button type="button" id="block-inside" class="rw-link" aria-expanded="false" aria-controls="inside">look inside</button></div>
      <div id="unet"></div>
    </div>
    <div class="rw-heat-side">
      <div class="rw-line rw-over rw-brush" role="group" aria-label="Brush for the cells">
        <span class="rw-soft">paint</span><span id="brushes" role="radiogroup" aria-label="What the brush sets"></span>
        <input type="range" id="brush-weight" min="0" max="2" step="0.05" value="1.5" aria-label="The weight that the brush sets">
        <output id="brush-says">1.50</output>
        <span class="rw-tools"><button type="button" class="rw-link" id="undo" disabled>undo</button>
        <button type="button" class="rw-link" id="unpaint" title="Clear all painted weights" disabled>clear</button></span>
      </div>
      <div class="rw-scroll" id="heat-weights"></div>
      <div id="weights-legend"></div>
    </div>
  </div>
  <div class="rw-line rw-foot"><span class="rw-line" id="block-own">
      <label for="block-weight" id="block-name">Drag a block up or down, or click one</label>
      <input type="range" id="block-weight" min="0" max="2" step="0.05" value="1" disabled>
      <button type="button" id="block-off" class="rw-small-button" disabled>switch off</button></span>
    <span class="rw-source" id="source"></span>
    <span class="rw-tools"><button type="button" class="rw-link" id="painted-save">save the weights</button>
    <button type="button" class="rw-link" id="painted-load">load</button><input type="file" id="painted-file" accept=".json" hidden></span></div>
  <section id="inside" aria-label="Inside a block" hidden><div class="rw-line"><h3><label for="inside-which">Inside</label></h3>
    <select id="inside-which"></select><button type="button" id="inside-close" class="rw-small-button">close</button></div>
    <div id="inside-of"></div></section>
</section>
"""


def instrument(engine: Engine, request: Request, chosen: Chosen) -> tuple[dict[str, Any], str]:
    """What the page needs to compute every weight by itself, and the key of the drawings that fit it."""
    blocks, side = engine.blocks(request.model), engine.side(request)
    facts = block_facts(blocks, side)
    m = len(blocks)
    scores = request.controlled(chosen.scores, places_of(blocks))
    told = {
        "scores": scores.round(5).tolist(), "mask": request.mask(m).astype(int).tolist(),
        "base": based(chosen),
        "source": chosen.source, "blocks": facts, "steps": request.steps,
    }  # fmt: skip
    return told, hashlib.sha256(repr((facts, request.steps)).encode()).hexdigest()[:12]


def based(chosen: Chosen) -> list[list[float | str]] | None:
    """Cells that take the place of Eq. 7's weights, "off" where a table of weights bypasses the block; None without one."""
    if chosen.weights is None:
        return None
    cells: list[list[float | str]] = chosen.weights.round(5).tolist()
    if chosen.bypass is not None:
        rows = zip(cells, chosen.bypass, strict=True)
        cells = [[OFF if off else w for w, off in zip(*row, strict=True)] for row in rows]
    return cells


def drawings(engine: Engine, request: Request, chosen: Chosen) -> dict[str, str]:
    """The drawings for a model and a number of steps, which the page repaints from then on."""
    blocks, side = engine.blocks(request.model), engine.side(request)
    facts = block_facts(blocks, side)
    names = [fact["name"] for fact in facts]
    weights = request.weights(chosen.scores, places_of(blocks), chosen.weights)
    title = "The weight of each block at each step"
    return {
        "unet": unet(facts), "heat": heatmap(weights, names, kind="weight", title=title), "curves": curves(weights, names),
        "legend": legend("weight"), "insides": insides(engine, request.model, facts),
    }  # fmt: skip


def insides(engine: Engine, model: str, facts: list[dict[str, Any]]) -> list[str]:
    """Each block opened, for `facts` of a number of steps and a size."""
    pipe = engine.opened(model).pipe
    blocks = engine.blocks(model)
    return [
        opened(fact, inside(pipe.unet, block), pipe.tokenizer.model_max_length)
        for fact, block in zip(facts, blocks, strict=True)
    ]
