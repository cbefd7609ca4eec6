"""What is painted as a table of weights in a file, which the command line and Python read too, and back."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine.provenance import current_versions
from ..engine.resolving import places_of
from ..methods.reweighting import OFF
from ..weight_table import WeightTable
from .live import Call, Event


def save(call: Call) -> Iterator[Event | None]:
    """The weights that the page shows, those of the schedule included, as a file."""
    request = call.request()
    chosen, loaded = call.chosen(request), call.engine.opened(request.model)
    blocks = call.engine.blocks(request.model)
    weights = request.weights(chosen.scores, places_of(blocks), chosen.weights)
    how = request.reweighting
    painted = sum(cell is not None for row in how.painted or () for cell in row)
    table = WeightTable(
        weights=weights, bypass=request.reweighting.bypass(weights.shape, chosen.bypass),
        blocks=tuple(block.label for block in blocks), model=request.model, method="painted" if painted else how.schedule, revision=loaded.revision,
        scheduler=type(loaded.pipe.scheduler).__name__, steps=request.steps, guidance_scale=request.guidance,
        versions=current_versions(), provenance={
            "schedule": how.schedule, "low": how.low, "high": how.high, "prompt": request.prompt, "seed": request.seed,
            "scores": chosen.source, "scores_method": chosen.method, "painted_cells": painted,
        },
    )  # fmt: skip
    name = "".join(c if c.isalnum() else "-" for c in loaded.source)
    yield {"kind": "file", "name": f"weights-{name}-{request.steps}-steps.json", "text": table.to_json()}


def load(call: Call) -> Iterator[Event | None]:
    """Cells from a file of weights. given: `text`. ValueError of one sentence for another model's or number of steps."""
    text = call.given.get("text")
    if not isinstance(text, str):
        raise ValueError("Weights are read from a JSON file.")
    request = call.request()
    table = WeightTable.from_json(text)
    if table.per == "transformer":
        raise ValueError(
            "This table has a weight for each Transformer, but the page paints one for each block: draw with it by "
            "`python -m reweight generate --table`."
        )
    labels = tuple(block.label for block in call.engine.blocks(request.model))
    if (table.model, table.steps, table.blocks) != (request.model, request.steps, labels):
        raise ValueError(
            f"These weights are for {table.model} with {table.steps} steps and {len(table.blocks)} blocks; the page has "
            f"{request.model} with {request.steps} steps and {len(labels)} blocks: choose those, or load another file."
        )
    cells = [
        [OFF if table.bypass is not None and table.bypass[t, i] else float(w) for i, w in enumerate(row)]
        for t, row in enumerate(table.weights)
    ]
    yield {"kind": "cells", "painted": cells}
