"""The public endpoints, for gradio_client: compare, reweight, importance. Everything else is private."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..engine import Engine, Picture
from ..importance import ProbeSnapshot
from ..request import validate
from .compare import stamped
from .errors import spoken


def build_api(engine: Engine) -> None:
    """Add the endpoints to the Blocks under construction."""
    first = engine.models[0]
    card = engine.card(first)

    def request_of(prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt):
        given = {
            "prompt": prompt, "model": model, "low": low, "high": high, "schedule": schedule, "seed": seed, "steps": steps,
            "guidance": guidance, "negative_prompt": negative_prompt,
        }  # fmt: skip
        return validate(engine.card(model), **{key: value for key, value in given.items() if value is not None})

    def draw(methods: tuple[str, ...], given: tuple[Any, ...]):
        with spoken():
            request = request_of(*given)
            chosen = engine.chosen(request)
            pictures = [
                event for event in engine.compare(request, chosen.scores, methods) if isinstance(event, Picture)
            ]
            images = [stamped(engine, request, picture, chosen.table) for picture in pictures]
            weights = request.weights(chosen.scores)
            return (
                *images,
                {"importance": chosen.source, "scores": chosen.scores.tolist(), "weights": weights.tolist()},
            )

    def compare(*given: Any):
        """Draw vanilla, re-weighted and FreeU from the same noise.

        Returns three PNG files, whose text carries every setting, and the scores and weights as JSON."""
        return draw(("vanilla", "reweighted", "freeu"), given)

    def reweight(*given: Any):
        """Draw the re-weighted picture alone. Returns a PNG file, and the scores and weights as JSON."""
        return draw(("reweighted",), given)

    def importance(preset: str, runs: float, *given: Any):
        """Probe the importance of every block at every step for a prompt. Returns the importance table as JSON."""
        import json

        with spoken():
            request = request_of(*given)
            table = None
            for event in engine.probe(request, preset=preset, runs=int(runs)):
                if isinstance(event, ProbeSnapshot):
                    table = event.table
            return json.loads(table.to_json())

    with gr.Row(visible=False):
        prompt = gr.Textbox(label="prompt")
        model = gr.Textbox(first, label="model")
        low = gr.Number(card.low, label="low")
        high = gr.Number(card.high, label="high")
        schedule = gr.Textbox("importance", label="schedule")
        seed = gr.Number(7, label="seed")
        steps = gr.Number(card.steps, label="steps")
        guidance = gr.Number(card.guidance, label="guidance")
        negative_prompt = gr.Textbox(card.negative_prompt, label="negative_prompt")
        preset = gr.Textbox("paper-code", label="preset")
        runs = gr.Number(15, label="runs")
        images = [gr.Image(label=name, format="png", type="pil") for name in ("vanilla", "reweighted", "freeu")]
        single = gr.Image(label="reweighted", format="png", type="pil")
        facts, alone, table = gr.JSON(label="facts"), gr.JSON(label="facts"), gr.JSON(label="table")
        given = [prompt, model, low, high, schedule, seed, steps, guidance, negative_prompt]
        gr.Button().click(compare, given, [*images, facts], api_name="compare")
        gr.Button().click(reweight, given, [single, alone], api_name="reweight")
        gr.Button().click(importance, [preset, runs, *given], [table], api_name="importance")
