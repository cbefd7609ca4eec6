"""Public endpoints for a study: sweep, ablate, score. Pictures come as PNG files in base64 within the JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..engine.axes import changed, offered, read_axis
from ..engine.engine import Batch, Engine, Scores
from ..engine.points import Cell, Point, grid
from ..engine.provenance import png_bytes, settings_of
from ..engine.request import REWEIGHTED, Request, RequestError
from ..probing.ablation import without
from ..scoring import distance
from .api_words import described, documented
from .errors import shown_to_people
from .panels.names import block_name

Asked = Callable[..., Request]


def build_study_api(
    engine: Engine, request_of: Asked, client_of: Callable[[gr.Request], str], given: list[Any]
) -> None:
    """Add the endpoints. request_of: the request that the values of `given` make. client_of: who calls."""

    @documented
    def sweep(
        caller: gr.Request, across: str, down: str, method: str, prompt: str, model: str | None = None, low: float |
        None = None, high: float | None = None,
        schedule: str | None = None, seed: int | None = None, steps: int | None = None, guidance: float | None = None,
        negative_prompt: str | None = None, settings: dict[str, Any] | None = None,
    ):  # fmt: skip
        """Draw a grid of pictures that differ in one or two settings.

        Gives JSON with a cell for each picture: its row and column (counted from 0), the values, the PNG in base64, SSIM with
        vanilla (1: identical), and a score where there is a scorer (higher is better). At most 100 pictures."""
        with shown_to_people():
            base = request_of(
                engine, prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt, settings
            )
            base, _ = changed(
                base, engine.card(base.model), {"column": method or REWEIGHTED}, engine.blocks(base.model)
            )
            told: list[dict[str, Any]] = []
            for cell in _swept(engine, base, across, down, client_of(caller)):
                if cell is None:
                    yield gr.skip()
                else:
                    told.append(cell)
            yield {"across": across, "down": down or None, "cells": sorted(told, key=lambda c: (c["row"], c["column"]))}

    @documented
    def ablate(
        caller: gr.Request, pictures: bool, prompt: str, model: str | None = None, low: float | None = None, high:
        float | None = None, schedule: str | None = None, seed: int | None = None,
        steps: int | None = None, guidance: float | None = None, negative_prompt: str | None = None, settings:
        dict[str, Any] | None = None,
    ):  # fmt: skip
        """Draw the picture without each block, at every step and at each single one.

        Gives JSON: the blocks, and for each block (its index as text, and its name) and step (counted from 0; null: every
        step) the SSIM with the whole picture, and mean_difference, the mean absolute difference of 255."""
        with shown_to_people():
            base = request_of(
                engine, prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt, settings
            )
            blocks, side = engine.blocks(base.model), engine.side(base)
            off, which = without(base.steps, len(blocks))
            whole, found = None, []
            for event in engine.batches(base, np.ones(off.shape), off, client=client_of(caller)):
                yield gr.skip()
                if not isinstance(event, Batch):
                    continue
                for n, image in enumerate(event.images, event.first):
                    whole = whole or image
                    if n:
                        far = distance(image, whole)
                        one = {
                            "block": blocks[which[n - 1][0]].label,
                            "name": block_name(blocks[which[n - 1][0]], side),
                            "step": which[n - 1][1],
                            "ssim": far.ssim,
                            "mean_difference": far.mean_difference,
                        }
                        found.append(one | ({"png": _png(image)} if pictures is True else {}))
            yield {"blocks": [block.label for block in blocks], "steps": base.steps, "without": found}

    @documented
    def score(caller: gr.Request, picture: Image.Image, prompt: str, model: str | None = None):
        """Score a picture for a prompt with the scorer that fits a model. Gives JSON: score (higher is better), and the scorer's name."""
        with shown_to_people():
            if not isinstance(picture, Image.Image):
                raise RequestError("There is no picture: give one.")
            asked = request_of(engine, prompt, model, None, None, None, None, None, None, None, None)
            found = None
            image = picture.convert("RGB")
            for event in engine.scores(asked.model, [image], [asked.prompt], client=client_of(caller)):
                found = event if isinstance(event, Scores) else found
                yield gr.skip()
            if found is None:
                raise RequestError(
                    "There is no scorer here for that model: score with an embedded one, or download HPS v2."
                )
            yield {"score": found.values[0], "scorer": found.scorer}

    across, down = gr.Textbox("low=0.8-1 x3", label="across"), gr.Textbox("", label="down")
    method, with_pictures = gr.Textbox(REWEIGHTED, label="method"), gr.Checkbox(False, label="pictures")
    picture = gr.Image(label="picture", type="pil")
    described(across, down, method, with_pictures, picture)
    grid_out, without_out, score_out = gr.JSON(label="grid"), gr.JSON(label="without"), gr.JSON(label="score")
    gr.Button().click(sweep, [across, down, method, *given], [grid_out], api_name="sweep", preprocess=False)
    gr.Button().click(ablate, [with_pictures, *given], [without_out], api_name="ablate", preprocess=False)
    gr.Button().click(score, [picture, *given[:2]], [score_out], api_name="score")


def _swept(engine: Engine, base: Request, across: Any, down: Any, client: str) -> Iterator[dict[str, Any] | None]:
    """None while it draws, then each cell as JSON."""
    blocks, loaded = engine.blocks(base.model), engine.opened(base.model)
    known = offered(loaded.card, [block.label for block in blocks], base.columns, base.steps)
    axes = []
    for text in (across, down):
        if text in (None, "") and axes:
            continue
        name, equals, values = str(text).partition("=")
        if not isinstance(text, str) or not equals:
            raise RequestError('An axis is a setting and its values, such as "low=0.9-1.1 x5".')
        axes.append(read_axis(name.strip(), values, known))
    cells = grid(base, loaded.card, blocks, axes[0], axes[1] if len(axes) > 1 else None, public=not engine.local)
    points = [Point(place, *cell, engine.chosen(cell[0])) for place, cell in cells.items() if not isinstance(cell, str)]
    if not points:
        raise RequestError(next(why for why in cells.values() if isinstance(why, str)))
    baselines = {point.request.vanilla_key(): point for point in points}
    wanted = points + [Point(key, point.request, "vanilla", point.chosen) for key, point in baselines.items()]
    drawn: dict[Any, Cell] = {}
    for event in engine.sweep(wanted, client=client):
        yield None
        if isinstance(event, Cell):
            drawn[event.point.place] = event
    scores: list[float] | None = None
    pictures = [drawn[point.place].made.image for point in points]
    for event in engine.scores(base.model, pictures, [point.request.prompt for point in points], client=client):
        yield None
        scores = event.values if isinstance(event, Scores) else scores
    for (i, j), why in cells.items():
        values = {axes[0].name: axes[0].values[j]} | ({axes[1].name: axes[1].values[i]} if len(axes) > 1 else {})
        if isinstance(why, str):
            yield {"row": i, "column": j, "values": values, "error": why}
    for n, point in enumerate(points):
        (i, j), cell = point.place, drawn[point.place]
        values = {axes[0].name: axes[0].values[j]} | ({axes[1].name: axes[1].values[i]} if len(axes) > 1 else {})
        weights = cell.drawing.weights if REWEIGHTED in point.column.split("+") else None
        stamped = png_bytes(cell.made.image, settings_of(point.request, loaded, point.column, weights))
        yield {
            "row": i, "column": j, "values": values, "method": point.column, "png": base64.b64encode(stamped).decode(),
            "ssim": distance(cell.made.image, drawn[point.request.vanilla_key()].made.image).ssim,
            "score": None if scores is None else scores[n],
        }  # fmt: skip


def _png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
