"""The Compare screen: vanilla, re-weighted and FreeU from the same noise, what differs, and the weights behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from ...engine.engine import Engine, Notice, Picture, Step, Waiting
from ...engine.provenance import parameters_text, settings_of
from ...engine.request import COLUMNS, Request
from ...engine.resolving import Chosen, places_of
from ...methods.columns import title
from ...scoring import difference_map, distance
from ..panels import svg
from ..wording import bar, block_name, caption, cell_notes, line, score_interval, shortened

PAIRS = {
    "vanilla | re-weighted": ("vanilla", "reweighted"),
    "vanilla | FreeU": ("vanilla", "freeu"),
    "re-weighted | FreeU": ("reweighted", "freeu"),
}


@dataclass
class Shown:
    """What one visitor has on the screen."""

    request: Request | None = None
    pictures: dict[str, Picture] | None = None

    def serves(self, request: Request) -> bool:
        """Whether vanilla and FreeU on the screen are those of a request, so that only the re-weighted one is drawn."""
        return (
            self.pictures is not None
            and len(self.pictures) == len(COLUMNS)
            and self.request.vanilla_key() == request.vanilla_key()
            and self.request.methods["freeu"] == request.methods["freeu"]
        )


@dataclass
class Compare:
    """The components of the screen."""

    images: dict[str, gr.Image]
    captions: dict[str, gr.HTML]
    heat: gr.HTML
    pair: gr.Radio
    slider: gr.ImageSlider
    difference: gr.Image
    shown: gr.State


def build_compare() -> Compare:
    images, captions = {}, {}
    with gr.Row(equal_height=False, elem_classes="rw-pictures"):
        for method in COLUMNS:
            with gr.Column(min_width=200, elem_classes="rw-column"):
                images[method] = gr.Image(
                    label=title(method), show_label=False, format="png", type="pil", interactive=False,
                    elem_id=f"image-{method}", elem_classes="rw-picture", alt_text=f"{title(method)} picture",
                    buttons=["download", "fullscreen"],
                )  # fmt: skip
                captions[method] = gr.HTML(elem_id=f"caption-{method}", elem_classes="rw-caption")
    heat = gr.HTML(elem_id="heat-weights", elem_classes="rw-panel")
    with gr.Accordion("What differs", open=True):
        pair = gr.Radio(list(PAIRS), value=next(iter(PAIRS)), label="Pair", elem_id="pair")
        with gr.Row():
            slider = gr.ImageSlider(
                format="png", type="pil", interactive=False, label="Drag to compare", elem_id="image-slider", buttons=[]
            )
            difference = gr.Image(
                format="png", type="pil", interactive=False, label="Difference, four times enlarged", elem_id="difference",
                alt_text="Where the two pictures differ: black is equal", buttons=["download"], elem_classes="rw-picture",
            )  # fmt: skip
    return Compare(images, captions, heat, pair, slider, difference, gr.State(Shown()))


def heat_panel(engine: Engine, request: Request, chosen: Chosen, kind: str) -> str:
    """A heatmap of the weights ("weight") or of the scores ("importance"), with legend and a line for explanations."""
    blocks = engine.blocks(request.model)
    side = engine.side(request)
    weights = request.weights(chosen.scores, places_of(blocks), chosen.weights)
    on = request.mask(len(blocks))
    scores = request.controlled(chosen.scores, places_of(blocks))
    names = [block_name(block, side) for block in blocks]
    notes = cell_notes(blocks, side, chosen.scores, chosen.table)
    values = weights if kind == "weight" else chosen.scores
    title = {
        "weight": "The weight of each block at each step",
        "importance": "The importance score of each block at each step",
    }[kind]
    drawing = svg.heatmap(
        values, scores, names, notes, kind=kind, on=on, title=title,
        interval=score_interval(chosen.table) if kind == "importance" else None,
    )  # fmt: skip
    return (
        f'<div class="rw-scroll">{drawing}</div><div class="rw-beside">{svg.legend(kind)}'
        f'<p class="rw-source">“{escape(shortened(request.prompt))}”. Importance: {escape(chosen.source)}.</p>'
        '<p class="rw-note" aria-live="polite">Choose a cell to have it explained.</p></div>'
    )


def stamped(engine: Engine, request: Request, picture: Picture) -> Image.Image:
    """The picture with its settings in its PNG text, as Gradio's png format keeps them."""
    loaded = engine.opened(request.model)
    settings = settings_of(request, loaded, picture.column, picture.weights, picture.table_sha256)
    image = picture.image.copy()
    image.info = {"parameters": parameters_text(settings), "reweight": json.dumps(settings, ensure_ascii=False)}
    return image


def pair_of(pictures: dict[str, Picture], name: str) -> tuple[Any, Any]:
    """The two pictures for the slider, and their difference map."""
    left, right = (pictures[method].image for method in PAIRS[name])
    return (left, right), difference_map(right, left)


def updates(engine: Engine, view: Compare, shown: Shown, methods: tuple[str, ...], pair: str) -> dict[Any, Any]:
    """The component updates for the pictures of `methods`, and for what compares them once there are three."""
    changed: dict[Any, Any] = {}
    request, pictures = shown.request, shown.pictures
    vanilla = pictures.get("vanilla")
    for method in methods:
        picture = pictures[method]
        far = distance(picture.image, vanilla.image) if vanilla and method != "vanilla" else None
        changed[view.images[method]] = stamped(engine, request, picture)
        changed[view.captions[method]] = caption(picture, request, far)
    if all(method in pictures for method in COLUMNS):
        changed[view.slider], changed[view.difference] = pair_of(pictures, pair)
        changed[view.shown] = replace(shown)
    return changed


def run(
    engine: Engine, view: Compare, status: gr.HTML, request: Request, chosen: Chosen, shown: Shown, pair: str,
    methods: tuple[str, ...] = COLUMNS, client: str = "",
) -> Iterator[dict[Any, Any]]:  # fmt: skip
    """Draw by each method and yield component updates as steps end and pictures come.

    It yields while it waits too: a generator is closed between two yields only."""
    kept = dict(shown.pictures or {}) if methods != COLUMNS else {}
    now = Shown(request, kept)
    total, done, said, notice = len(methods) * request.steps, 0, "Drawing…", ""
    left = list(methods)
    try:
        for event in engine.compare(request, chosen, methods, client=client):
            if isinstance(event, Waiting):
                yield {status: bar(done / total, f"{event.ahead} before you…" if event.ahead else said, left)}
            elif isinstance(event, Notice):
                notice += f" {event.text}"
            elif isinstance(event, Step):
                done = methods.index(event.column) * request.steps + event.step
                said = f"{title(event.column)}: step {event.step} of {event.steps}"
                yield {status: bar(done / total, said, left)}
            elif isinstance(event, Picture):
                now.pictures[event.column] = event
                left.remove(event.column)
                yield updates(engine, view, now, (event.column,), pair) | {status: bar(done / total, said, left)}
    except (ValueError, FloatingPointError) as error:
        yield {status: line(str(error))}
        raise
    yield {status: line(f"{notice} Importance: {chosen.source}.")}
