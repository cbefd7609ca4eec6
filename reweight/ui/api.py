"""The public endpoints, for gradio_client: compare, reweight, importance. Everything else is private.

What a caller leaves out is the default of the model that is named. Values come in as they were sent, unconverted, so that `validate` sees them and not what a component makes of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from ..engine.engine import Engine, Picture, ProbeSnapshot, Waiting
from ..engine.provenance import png_bytes, settings_of
from ..engine.request import COLUMNS, Request, RequestError, validate
from ..engine.resolving import places_of
from ..probing.ablation import agreement, agreement_by_step, agreement_p
from ..probing.search import PRESETS
from .api_study import build_study_api
from .api_words import described, documented
from .errors import shown_to_people
from .files import served

MOST_RUNS = 100
HEARD = 0.25  # seconds after which a caller who has gone is noticed; each time costs as much as a denoising step


def build_api(engine: Engine) -> None:
    """Add the endpoints to the Blocks under construction."""
    first = engine.models[0]

    @documented
    def compare(
        caller: gr.Request, prompt: str, model: str | None = None, low: float | None = None, high: float | None =
        None, schedule: str | None = None, seed: int | None = None, steps: int | None = None,
        guidance: float | None = None, negative_prompt: str | None = None, settings: dict[str, Any] | None = None,
    ):  # fmt: skip
        """Draw vanilla, re-weighted and FreeU from the same noise.

        Gives three PNG files, whose text carries every setting, and the scores and weights as JSON."""
        given = (prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt, settings)
        yield from _drawn(engine, caller, COLUMNS, given)

    @documented
    def reweight(
        caller: gr.Request, prompt: str, model: str | None = None, low: float | None = None, high: float | None =
        None, schedule: str | None = None, seed: int | None = None, steps: int | None = None,
        guidance: float | None = None, negative_prompt: str | None = None, settings: dict[str, Any] | None = None,
        method: str | None = None,
    ):  # fmt: skip
        """Draw one picture: re-weighted, or by another method.

        Gives a PNG file, whose text carries every setting, and the scores and weights as JSON."""
        given = (prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt, settings)
        yield from _drawn(engine, caller, ("reweighted" if method is None else method,), given)

    @documented
    def importance(
        caller: gr.Request, preset: str, runs: int, prompt: str, model: str | None = None, low: float | None = None,
        high: float | None = None, schedule: str | None = None,
        seed: int | None = None, steps: int | None = None, guidance: float | None = None, negative_prompt: str | None
        = None, settings: dict[str, Any] | None = None, direct: bool = False,
    ):  # fmt: skip
        """Probe the importance of every block at every step for a prompt; low, high and schedule do not matter here.

        Gives the importance table as JSON: scores from 0 to 1, steps by blocks; blocks are named by their index, from 0."""
        with shown_to_people():
            if type(preset) is not str or preset not in PRESETS:
                raise RequestError(f"There is no preset of that name: choose one of {', '.join(PRESETS)}.")
            if type(runs) not in (int, float) or runs not in range(1, MOST_RUNS + 1):
                raise RequestError(f"The number of runs must be a whole number from 1 to {MOST_RUNS}.")
            request = _request(
                engine, prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt, settings
            )
            table = None
            client, small = client_of(caller), PRESETS[preset].allows_surrogate
            for event in engine.probe(request, preset=preset, runs=int(runs), surrogate=small, client=client):
                if isinstance(event, ProbeSnapshot):
                    table = event.table
                yield gr.skip()
            told = json.loads(table.to_json())
            if direct is True:
                errors = None
                for found in engine.direct(request, client=client):
                    errors = found if isinstance(found, np.ndarray) else errors
                    yield gr.skip()
                told["diagnostics"] |= checked(table.scores, errors)
            yield told

    with gr.Row(visible=False):
        prompt = gr.Textbox(label="prompt")
        model = gr.Textbox(first, label="model")
        low = gr.Number(label="low")
        high = gr.Number(label="high")
        schedule = gr.Textbox("importance", label="schedule")
        seed = gr.Number(7, label="seed")
        steps = gr.Number(label="steps")
        guidance = gr.Number(label="guidance")
        negative_prompt = gr.Textbox(None, label="negative_prompt")
        settings, method = gr.JSON({}, label="settings"), gr.Textbox("reweighted", label="method")
        preset = gr.Textbox("paper-code", label="preset")
        runs, direct = gr.Number(15, label="runs"), gr.Checkbox(False, label="direct")
        images = [gr.Image(label=method, format="png", type="pil") for method in COLUMNS]
        single = gr.Image(label="reweighted", format="png", type="pil")
        facts, alone, table = gr.JSON(label="facts"), gr.JSON(label="facts"), gr.JSON(label="table")
        given = [prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt, settings]
        described(*given, method, preset, runs, direct)
        for endpoint, inputs, outputs in (
            (compare, given, [*images, facts]),
            (reweight, [*given, method], [single, alone]),
            (importance, [preset, runs, *given, direct], [table]),
        ):
            gr.Button().click(endpoint, inputs, outputs, api_name=endpoint.__name__, preprocess=False)
        build_study_api(engine, _request, client_of, given)


def checked(scores: np.ndarray, errors: np.ndarray) -> dict[str, Any]:
    """What the direct check, (T, m) errors, says of scores (T, m), as diagnostics of their table."""
    return {
        "bypass_error": errors.tolist(), "tau_b_bypass": agreement(scores, errors),
        "tau_b_bypass_per_step": agreement_by_step(scores, errors).tolist(), "p_bypass": agreement_p(scores, errors),
    }  # fmt: skip


def _request(engine: Engine, prompt: Any, model: Any, *rest: Any) -> Request:
    """The request that an endpoint's values make. None takes the model's default."""
    names = ("low", "high", "schedule", "seed", "steps", "guidance", "negative_prompt")
    model = engine.models[0] if model is None else model
    if type(model) is not str:
        raise RequestError("The model must be text: its name.")
    *values, more = rest
    if more is not None and not isinstance(more, dict):
        raise RequestError("The settings must be a JSON object, by name.")
    given = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    return validate(engine.card(model), prompt=prompt, model=model, **(more or {}) | given)


def _drawn(engine: Engine, caller: gr.Request, methods: tuple[str, ...], given: tuple[Any, ...]) -> Iterator[Any]:
    """Nothing new while it draws, so that a caller who has gone stops the work; then the pictures and the facts."""
    with shown_to_people():
        request = _request(engine, *given)
        if not set(methods) <= set(request.columns):
            request = validate(
                engine.card(request.model), **request.settings() | (given[-1] or {}) | {"columns": list(methods)}
            )
        chosen = engine.chosen(request)
        pictures, told = [], time.monotonic()
        for event in engine.compare(request, chosen, methods, client=client_of(caller)):
            if isinstance(event, Picture):
                pictures.append(event)
            if isinstance(event, Waiting) or time.monotonic() - told > HEARD:
                yield (gr.skip(),) * (len(methods) + 1)
                told = time.monotonic()
        weights = request.weights(chosen.scores, places_of(engine.blocks(request.model)), chosen.weights)
        facts = {"importance": chosen.source, "scores": chosen.scores.tolist(), "weights": weights.tolist()}
        yield (*(stamped(engine, request, picture) for picture in pictures), facts)


def stamped(engine: Engine, request: Request, picture: Picture) -> str:
    """The path of the picture as a PNG with its settings in its text."""
    settings = settings_of(request, engine.opened(request.model), picture.column, picture.weights, picture.table_sha256)
    return served(png_bytes(picture.image, settings), "image.png")


def client_of(caller: gr.Request) -> str:
    """Who calls, as the engine's turns want to know it."""
    return f"{caller.client.host if caller.client else ''}/{caller.session_hash or ''}"
