"""Which event calls which handler, with what, and what it may change."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .address import ADDRESS
from .handlers import Handlers
from .wording import line

PAINT = "(low, high) => window.reweightPaint(low, high)"
UNKNOWN = "(prompt) => window.reweightUnknown(prompt)"


def wire(demo: gr.Blocks, on: Handlers) -> None:
    """Connect everything that can be pressed or moved."""
    controls, view, screen, status, tables = on.controls, on.view, on.screen, on.status, on.tables
    by_name, inputs = controls.inputs, controls.values
    drawings = [view.heat, screen.scores, screen.findings, screen.curves, screen.ranks, screen.frame]
    pictures = [*view.images.values(), *view.captions.values(), view.slider, view.difference, view.shown]
    private: dict[str, Any] = {"api_visibility": "private"}
    hidden: dict[str, Any] = {"show_progress": "hidden"} | private
    whole = {"outputs": [status, *pictures, *drawings]} | hidden
    context = [tables, view.shown, view.pair, *inputs]
    bounds = [by_name["low"], by_name["high"]]
    settings = [component for name, component in by_name.items() if name not in ("prompt", "model", "seed")]
    runs: list[Any] = []  # what Stop stops

    def draws(event: Any, handler: Any = on.generate, given: list[Any] = context) -> Any:
        """Make an event draw, and let the address follow; `event` is a listener such as `button.click`.

        Of those that come while it draws, the last one is drawn next."""
        drawing = event(handler, given, **whole, trigger_mode="always_last")
        runs.append(drawing)
        drawing.success(
            None, [by_name[name] for name in ADDRESS], None, js="(...all) => window.reweightAddress(...all)", **private
        )
        return drawing

    draws(controls.generate.click)
    draws(by_name["prompt"].submit)
    chosen = controls.examples.click(lambda row: row[0], [controls.examples], [by_name["prompt"]], **hidden)
    draws(chosen.then)
    surprised = controls.surprise.click(on.surprise, [by_name["model"]], [by_name["prompt"]], **hidden)
    draws(surprised.success)
    for component in (by_name["prompt"], controls.words):
        component.change(None, [by_name["prompt"]], None, js=UNKNOWN, **private)
    draws(controls.dice.click(on.other_seed, None, [by_name["seed"]], **hidden).then)
    draws(controls.reset.click(on.reset, [by_name["model"], tables], [*settings, tables], **hidden).success)

    for name, handler in (("low", on.low), ("high", on.high)):
        keep_order = f"(low, high) => window.reweightKeepOrder('{name}', low, high)"
        by_name[name].input(None, bounds, bounds, js=keep_order, **private)
        by_name[name].change(None, bounds, None, js=PAINT, **private)
        draws(by_name[name].input, handler, [controls.live, *context])
    for drawing in (view.heat, screen.curves):
        drawing.change(None, bounds, None, js=PAINT, **private)
    for name in ("schedule", "blocks", "first_step", "last_step"):
        draws(by_name[name].input, on.scheduled, [controls.live, *context])
    by_name["steps"].input(on.steps, [by_name["steps"]], [by_name["first_step"], by_name["last_step"]], **hidden)

    model = by_name["model"]
    told = [on.opened, on.about, controls.words, controls.surprise, status]
    opening = model.input(on.model, [model, on.opened], [model, *settings, *told], **hidden)
    runs.append(opening)
    draws(opening.success)
    view.pair.input(on.pair, [view.shown, view.pair], [view.slider, view.difference], **hidden)

    probing = screen.probe.click(
        on.probe, [tables, screen.preset, screen.runs, *inputs],
        [tables, by_name["schedule"], screen.progress, *drawings], **hidden,
    )  # fmt: skip
    draws(probing.success)
    kept = screen.stop.click(None, None, None, cancels=[probing], **private).then(
        lambda: line("Stopped; what was done is kept."), None, [screen.progress], **hidden
    )
    draws(kept.then)
    for box, name, wanted in ((screen.numbers, "rw-plain", "!on"), (screen.intervals, "rw-intervals", "on")):
        toggle = f"(on) => {{ document.querySelector('.rw-page').classList.toggle('{name}', {wanted}); }}"
        box.input(None, [box], None, js=toggle, **private)
    for button, handler, file in (
        (screen.save, on.save, screen.table_file),
        (screen.figure, on.figure, screen.figure_file),
    ):
        download = f"() => window.reweightDownload('{file.elem_id}')"
        ready = button.click(handler, [tables, *inputs], [file], **hidden)
        ready.success(None, None, None, js=download, **private)
    loading = screen.load.upload(on.load_table, [screen.load, tables, *inputs], [tables, *drawings], **hidden)
    draws(loading.success)
    draws(demo.load(on.load, None, [*inputs, *told], **hidden).then)
    controls.stop.click(None, None, None, cancels=runs, **private).then(
        on.stopped, [tables, view.shown, view.pair], **whole
    )
