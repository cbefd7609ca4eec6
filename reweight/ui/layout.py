"""The page: header, controls beside the screens, and what happens when something is pressed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..engine import METHODS, Engine, Waiting
from ..models import REGISTRY, ModelError
from ..request import Request, RequestError, validate
from ..schedule import ImportanceTable
from ..tables import Chosen
from . import compare, importance
from .api import build_api
from .controls import build_controls, defaults, raw
from .errors import spoken
from .words import bar

STATIC = Path(__file__).parent / "static"
KEPT_TABLES = 20
ADDRESS = ("prompt", "model", "low", "high", "seed", "steps", "schedule")


@dataclass(frozen=True)
class Tables:
    """The importance tables of one visitor: probed here, newest last, and one loaded from a file."""

    probed: tuple[ImportanceTable, ...] = ()
    pinned: ImportanceTable | None = None


def launch_options() -> dict[str, Any]:
    """What `launch` must be told: looks, and no connections but to this server."""
    font = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
    mono = ["ui-monospace", "Consolas", "monospace"]
    return {
        "theme": gr.themes.Soft(primary_hue="orange", neutral_hue="stone", font=font, font_mono=mono),
        "css": (STATIC / "style.css").read_text(),
        "head": f"<script>{(STATIC / 'live.js').read_text()}</script>",
        "show_error": False,
        "footer_links": ["api"],
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
        "pwa": False,
        "allowed_paths": [],
        "max_file_size": "2mb",
    }


def build_demo(engine: Engine) -> gr.Blocks:
    """The demo, ready to launch with `launch_options()`."""
    first = engine.models[0]
    blocks = engine.blocks(first)
    with gr.Blocks(
        title="reweight: which U-Net block matters when", analytics_enabled=False, delete_cache=(600, 3600)
    ) as demo:
        gr.HTML(
            "<h1>reweight</h1><p>A diffusion U-Net draws a picture in steps, and its Transformer blocks matter at different "
            "steps. Slide <b>low</b> and <b>high</b> to weaken the unimportant blocks and strengthen the important ones, and see "
            "what happens to the same picture.</p>",
            elem_id="header", elem_classes="rw-header",
        )  # fmt: skip
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                titles = [(REGISTRY[name].title if name in REGISTRY else name, name) for name in engine.models]
                controls = build_controls(titles, engine.local, engine.card(first), blocks)
            with gr.Column(scale=3, min_width=320):
                about = gr.HTML(_about(engine, first), elem_id="about", elem_classes="rw-header")
                status = gr.HTML(
                    "<p>Starting…</p>",
                    elem_id="status",
                    elem_classes="rw-status",
                    html_template='<div role="status">${value}</div>',
                )
                with gr.Tabs():
                    with gr.Tab("Compare", id="compare"):
                        first_view = compare.build_compare()
                    with gr.Tab("Importance", id="importance", render_children=True):
                        second_view = importance.build_importance()
        tables = gr.State(Tables())
        opened = gr.State(first)
        _wire(demo, engine, controls, first_view, second_view, status, about, tables, opened)
        build_api(engine)
    return demo.queue(api_open=False, max_size=64, default_concurrency_limit=16)


def _about(engine: Engine, name: str) -> str:
    loaded = engine.opened(name)
    revision = f", revision {loaded.revision[:12]}" if loaded.revision else ""
    safety = getattr(loaded.pipe, "safety_checker", None)
    note = "" if loaded.card.embedded or safety is not None else " This model has no safety checker."
    return (
        f"<p>Model <b>{escape(loaded.card.title)}</b> from {escape(loaded.source)}{escape(revision)} · licence "
        f"{escape(loaded.card.licence)} · {escape(loaded.device)}, {escape(loaded.dtype)}.{note}</p>"
    )


def _wire(demo, engine, controls, view, screen, status, about, tables, opened) -> None:
    inputs, names = controls.values, list(controls.inputs)
    by_name = controls.inputs
    pictures = [*view.images.values(), *view.captions.values(), view.heat, view.slider, view.difference, view.shown]
    drawings = [screen.scores, screen.findings, screen.curves, screen.ranks, screen.frame]
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def request_of(values: list[Any]) -> Request:
        named = dict(zip(names, values, strict=True))
        return validate(engine.card(named["model"]), **raw(named))

    def settle(values: list[Any], mine: Tables) -> tuple[Request, Chosen]:
        request = request_of(values)
        return request, engine.chosen(request, mine.probed, mine.pinned)

    def everything(request: Request, chosen: Chosen) -> dict[Any, Any]:
        return {view.heat: compare.heat_panel(engine, request, chosen, "weight")} | importance.redraw(
            engine, screen, request, chosen
        )

    def on_generate(mine, shown, pair, *values):
        with spoken():
            request, chosen = settle(values, mine)
            yield everything(request, chosen)
            yield from compare.run(engine, view, status, request, chosen, shown, pair)

    def on_live(moved: str) -> Callable[..., Iterator[dict[Any, Any]]]:
        def handler(live, mine, shown, pair, *values):
            named = dict(zip(names, values, strict=True))
            other = {"low": "high", "high": "low"}[moved]
            if named["low"] > named["high"]:
                named[other] = named[moved]
            with spoken():
                request, chosen = settle([named[name] for name in names], mine)
                if not live or not shown.pictures or "vanilla" not in shown.pictures:
                    yield everything(request, chosen)
                    return
                same = (
                    shown.request.vanilla_key() == request.vanilla_key()
                    and shown.request.freeu_key() == request.freeu_key()
                )
                methods = ("reweighted",) if same else METHODS
                yield from compare.run(engine, view, status, request, chosen, shown, pair, methods)
                yield everything(request, chosen)

        return handler

    def on_redraw(mine, *values):
        try:
            return everything(*settle(values, mine))
        except (RequestError, ModelError):
            return {status: gr.skip()}

    def on_probe(mine, shown, pair, preset, runs, *values):
        kept = {"tables": mine}
        with spoken():
            request = replace_schedule(request_of(values))

            def keep(table: ImportanceTable) -> dict[Any, Any]:
                others = tuple(
                    t for t in mine.probed if (t.prompt, t.model, t.steps) != (table.prompt, table.model, table.steps)
                )
                kept["tables"] = Tables((*others, table)[-KEPT_TABLES:])
                chosen = engine.chosen(request, kept["tables"].probed)
                return {tables: kept["tables"]} | everything(request, chosen)

            yield from importance.run_probe(engine, screen, request, preset, int(runs), keep)
            chosen = engine.chosen(request, kept["tables"].probed)
            yield from compare.run(engine, view, status, request, chosen, shown, pair)

    def replace_schedule(request: Request) -> Request:
        return request.model_copy(update={"schedule": "importance"}) if request.schedule == "empirical" else request

    def on_pair(shown, pair):
        if not shown.pictures or len(shown.pictures) < len(METHODS):
            return gr.skip(), gr.skip()
        return compare.pair_of(shown.pictures, pair)

    def on_model(name, before):
        with spoken():
            try:
                for event in engine.open(name):
                    if isinstance(event, Waiting):
                        yield {status: bar(0, f"Loading {name}…")}
            except ModelError as error:
                yield {by_name["model"]: before, status: f"<p>{escape(str(error))} Still on {escape(before)}.</p>"}
                return
            yield model_updates(name) | {
                opened: name,
                about: _about(engine, name),
                status: f"<p>{escape(name)} is ready.</p>",
            }

    def model_updates(name: str) -> dict[Any, Any]:
        card, blocks = engine.card(name), engine.blocks(name)
        values = defaults(card, blocks)
        updates: dict[Any, Any] = {by_name[key]: gr.update(value=value) for key, value in values.items()}
        for key in ("steps", "first_step", "last_step"):
            updates[by_name[key]] = gr.update(value=values[key], maximum=card.max_steps)
        updates[by_name["size"]] = gr.update(value=card.size, maximum=card.max_size)
        updates[by_name["blocks"]] = gr.update(
            choices=[(block.label, block.index) for block in blocks], value=[block.index for block in blocks]
        )
        return updates

    def on_load(request: gr.Request):
        query = dict(request.query_params)
        updates: dict[Any, Any] = {}
        for key in ADDRESS:
            if key not in query:
                continue
            if key in ("low", "high", "seed", "steps"):
                try:
                    updates[by_name[key]] = int(query[key]) if key in ("seed", "steps") else float(query[key])
                except ValueError:
                    continue
            elif key == "model" and query[key] not in engine.models:
                continue
            else:
                updates[by_name[key]] = query[key]
        if by_name["steps"] in updates:
            updates[by_name["last_step"]] = updates[by_name["steps"]]
        return updates or {status: gr.skip()}

    def on_save(mine, *values):
        with spoken():
            table = settle(values, mine)[1].table
            if table is None:
                raise ValueError("There is no probed table for this prompt yet: press “Probe now” first.")
            return importance.write_table(table)

    def on_figure(mine, *values):
        with spoken():
            request, chosen = settle(values, mine)
            return importance.write_figure(chosen, engine.blocks(request.model), engine.side(request))

    def on_load_table(file, mine, *values):
        with spoken():
            request = request_of(values)
            pinned = importance.read_table(file, request, engine.blocks(request.model))
            mine = replace(mine, pinned=pinned)
            return {tables: mine} | everything(request, engine.chosen(request, mine.probed, mine.pinned))

    address = {
        "fn": None, "inputs": [by_name[name] for name in ADDRESS], "js": "(...all) => window.reweightAddress(...all)",
        "api_visibility": "private",
    }  # fmt: skip
    whole = {"outputs": [status, *pictures, *drawings], **hidden}
    context = [tables, view.shown, view.pair, *inputs]
    runs = [
        controls.generate.click(on_generate, context, **whole),
        by_name["prompt"].submit(on_generate, context, **whole),
    ]
    for event in runs:
        event.then(**address)
    example = controls.examples.click(lambda row: row[0], [controls.examples], [by_name["prompt"]], **hidden)
    runs.append(example.then(on_generate, context, **whole))
    runs[-1].then(**address)
    for name, rule in (("low", "reweightLow"), ("high", "reweightHigh")):
        pair = [by_name["low"], by_name["high"]]
        by_name[name].input(None, pair, pair, js=f"(low, high) => window.{rule}(low, high)", api_visibility="private")
        live = by_name[name].input(
            on_live(name),
            [controls.live, *context],
            trigger_mode="always_last",
            outputs=[status, *pictures, *drawings],
            **hidden,
        )
        live.then(**address)
        runs.append(live)
    for name in ("schedule", "blocks", "first_step", "last_step"):
        runs.append(by_name[name].input(on_live("low"), [controls.live, *context], trigger_mode="always_last", **whole))
    by_name["steps"].input(
        lambda steps: (1, steps), [by_name["steps"]], [by_name["first_step"], by_name["last_step"]], **hidden
    )
    controls.stop.click(None, cancels=runs, api_visibility="private")
    dice = controls.dice.click(lambda: random.randrange(10**6), None, [by_name["seed"]], **hidden)
    runs.append(dice.then(on_generate, context, **whole))
    runs[-1].then(**address)
    every_setting = [by_name[key] for key in defaults(engine.card(engine.models[0]), engine.blocks(engine.models[0]))]
    controls.reset.click(model_updates, [by_name["model"]], every_setting, **hidden).then(
        lambda: Tables(), None, [tables], **hidden
    ).then(on_redraw, [tables, *inputs], [status, view.heat, *drawings], **hidden)
    by_name["model"].input(
        on_model, [by_name["model"], opened], [by_name["model"], *every_setting, opened, about, status], **hidden
    ).success(on_generate, context, **whole)
    view.pair.input(on_pair, [view.shown, view.pair], [view.slider, view.difference], **hidden)
    probing = screen.probe.click(
        on_probe, [tables, view.shown, view.pair, screen.preset, screen.runs, *inputs],
        [tables, screen.progress, status, *pictures, *drawings], **hidden,
    )  # fmt: skip
    screen.stop.click(
        lambda: "<p>Stopped; what was done is kept.</p>", None, [screen.progress], cancels=[probing], **hidden
    )
    screen.numbers.input(
        None, [screen.numbers], None, api_visibility="private",
        js="(on) => { document.querySelector('.gradio-container').classList.toggle('rw-plain', !on); }",
    )  # fmt: skip
    screen.save.click(on_save, [tables, *inputs], [screen.save], **hidden)
    screen.figure.click(on_figure, [tables, *inputs], [screen.figure], **hidden)
    screen.load.upload(on_load_table, [screen.load, tables, *inputs], [tables, view.heat, *drawings], **hidden)
    demo.load(on_load, None, [by_name[key] for key in (*ADDRESS, "last_step")] + [status], **hidden).then(
        on_generate, context, **whole
    )
