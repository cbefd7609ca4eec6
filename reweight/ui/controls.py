"""The controls beside the results, and how their values become a Request."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from ..engine.resolving import EXAMPLES
from ..methods.freeu import PRESETS
from ..models.loading import LoadedModel
from ..models.registry import ModelCard
from ..patching.blocks import TargetBlock
from ..schedule import CONTROLS
from .address import SLIDER
from .panels.word_chips import words_panel

FREEU = ("b1", "b2", "s1", "s2", "version")


@dataclass
class Controls:
    """Every input component by the name that `validate` knows it by, and the buttons."""

    inputs: dict[str, gr.components.Component]
    generate: gr.Button
    stop: gr.Button
    dice: gr.Button
    reset: gr.Button
    examples: gr.Dataset
    surprise: gr.Button
    words: gr.HTML
    live: gr.Checkbox

    @property
    def values(self) -> list[gr.components.Component]:
        return list(self.inputs.values())


def raw(named: dict[str, Any]) -> dict[str, Any]:
    """Control values by name as keyword arguments of `validate`: FreeU's five in one."""
    named = dict(named)
    freeu = {name: named.pop(name) for name in FREEU}
    blocks = named.get("blocks")
    return named | {"freeu": freeu, "blocks": None if blocks is None else tuple(blocks)}


def defaults(card: ModelCard, blocks: tuple[TargetBlock, ...]) -> dict[str, Any]:
    """A model's values for every control but the prompt, model and seed."""
    return {
        "negative_prompt": card.negative_prompt, "steps": card.steps, "guidance": card.guidance, "size": card.size,
        "low": card.low, "high": card.high, "schedule": "importance", "first_step": 1, "last_step": card.steps,
        "blocks": [block.index for block in blocks],
    } | asdict(PRESETS[card.family])  # fmt: skip


def build_controls(
    models: list[tuple[str, str]], local: bool, loaded: LoadedModel, blocks: tuple[TargetBlock, ...]
) -> Controls:
    """Lay out the controls. models: (title, name) pairs; loaded: the model that is chosen at first."""
    card = loaded.card
    start = defaults(card, blocks)
    made: dict[str, gr.components.Component] = {}
    made["prompt"] = gr.Textbox(
        EXAMPLES[0],
        label="Prompt",
        lines=2,
        max_lines=4,
        elem_id="prompt",
        placeholder="What should be in the picture?",
    )
    words = gr.HTML(words_panel(loaded), elem_id="words", elem_classes="rw-words", padding=False)
    with gr.Group():
        made["low"] = gr.Slider(*SLIDER, start["low"], step=0.005, label="low weight", elem_id="low")
        made["high"] = gr.Slider(*SLIDER, start["high"], step=0.005, label="high weight", elem_id="high")
    live = gr.Checkbox(True, label="Draw again while sliding", elem_id="live", container=False)
    with gr.Row():
        generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=2, min_width=110)
        stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=70)
    examples = gr.Dataset(
        components=[gr.Textbox(visible=False)], samples=[[text] for text in EXAMPLES], label="Try one", elem_id="examples",
        type="values",
    )  # fmt: skip
    surprise = gr.Button("Surprise me", size="sm", elem_id="surprise", visible=loaded.vocabulary is not None)
    with gr.Row(elem_classes="rw-seed"):
        made["seed"] = gr.Number(
            7, label="Seed", precision=0, minimum=0, maximum=2**32 - 1, elem_id="seed", min_width=110
        )
        dice = gr.Button("Other seed", elem_id="dice", min_width=110)
    made["schedule"] = gr.Dropdown(
        [(control.title, name) for name, control in CONTROLS.items()],
        value="importance",
        label="Schedule",
        elem_id="schedule",
    )
    made["model"] = gr.Dropdown(
        models, value=card.key, label="Model, folder or owner/name" if local else "Model", elem_id="model",
        allow_custom_value=local,
    )  # fmt: skip
    with gr.Accordion("More settings", open=False, elem_id="more"):
        made["negative_prompt"] = gr.Textbox(start["negative_prompt"], label="Negative prompt", elem_id="negative")
        with gr.Row():
            made["steps"] = gr.Slider(
                1, card.max_steps, start["steps"], step=1, label="Steps", elem_id="steps", min_width=120
            )
            made["guidance"] = gr.Slider(
                0, 15, start["guidance"], step=0.1, label="Guidance", elem_id="guidance", min_width=120
            )
        with gr.Row():
            made["first_step"] = gr.Slider(
                1, card.max_steps, 1, step=1, label="Re-weight from step", elem_id="first-step", min_width=120
            )
            made["last_step"] = gr.Slider(
                1, card.max_steps, start["last_step"], step=1, label="to step", elem_id="last-step", min_width=120
            )
        made["blocks"] = gr.CheckboxGroup(
            [(block.label, block.index) for block in blocks], value=start["blocks"], label="Blocks that are re-weighted",
            elem_id="blocks",
        )  # fmt: skip
        gr.Markdown("**FreeU** — backbone factors b, skip factors s; all four count.")
        with gr.Row():
            for name in ("b1", "b2", "s1", "s2"):
                made[name] = gr.Slider(0, 2, start[name], step=0.05, label=name, elem_id=name, min_width=120)
        made["version"] = gr.Radio([1, 2], value=start["version"], label="FreeU version", elem_id="version")
        made["size"] = gr.Slider(64, card.max_size, start["size"], step=8, label="Size in pixels", elem_id="size")
    reset = gr.Button("Reset to this model's defaults", size="sm", elem_id="reset")
    return Controls(made, generate, stop, dice, reset, examples, surprise, words, live)
