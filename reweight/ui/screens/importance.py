"""The Importance screen: scores, weights, ranks; the probe, live; what may be said against it; tables in and out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from ...engine.engine import Agreement, Engine, Waiting
from ...engine.request import Request
from ...engine.resolving import Chosen, places_of
from ...patching.blocks import TargetBlock
from ...probing.plots import importance_figure
from ...probing.search import PRESETS
from ...schedule import MAX_BYTES, ImportanceTable
from ..panels import svg
from ..wording import bar, block_name, findings, line, shortened
from .compare import heat_panel

PRESET_NAMES = {
    "paper-code": "paper's code",
    "paper-text": "paper's text",
    "calibrated": "calibrated (ours)",
}


@dataclass
class Importance:
    """The components of the screen."""

    probe: gr.Button
    stop: gr.Button
    preset: gr.Radio
    runs: gr.Slider
    progress: gr.HTML
    scores: gr.HTML
    findings: gr.HTML
    curves: gr.HTML
    ranks: gr.HTML
    frame: gr.Dataframe
    numbers: gr.Checkbox
    intervals: gr.Checkbox
    save: gr.Button
    figure: gr.Button
    table_file: gr.DownloadButton
    figure_file: gr.DownloadButton
    load: gr.UploadButton


def build_importance() -> Importance:
    gr.Markdown(
        "**Which block matters when?** The probe weakens random blocks a little at every step and keeps what the picture "
        "survives. A block that cannot be weakened scores high. It runs here, on your prompt, with the paper's settings, or "
        "with ours, *calibrated*, which switches random blocks off and sees how much is lost."
    )
    with gr.Row(elem_classes="rw-tools"):
        probe = gr.Button("Probe now", variant="primary", elem_id="probe", min_width=135, scale=0)
        stop = gr.Button("Stop and keep", elem_id="probe-stop", min_width=165, scale=0)
        preset = gr.Radio(
            [(PRESET_NAMES[name], name) for name in PRESETS], value="paper-code", label="Preset", elem_id="preset", min_width=300, scale=2,
        )  # fmt: skip
        runs = gr.Slider(1, 30, 15, step=1, label="Runs", elem_id="runs", min_width=180, scale=1)
    progress = gr.HTML(elem_id="probe-progress", elem_classes="rw-status")
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            scores = gr.HTML(elem_id="heat-importance", elem_classes="rw-panel")
        with gr.Column(scale=2, min_width=280):
            gr.Markdown("**How sure is this?**")
            says = gr.HTML(elem_id="findings", elem_classes="rw-findings")
    with gr.Row():
        with gr.Column(min_width=320):
            curves = gr.HTML(elem_id="curves", elem_classes="rw-panel")
        with gr.Column(min_width=320):
            ranks = gr.HTML(elem_id="ranks", elem_classes="rw-panel")
    with gr.Accordion("The numbers as a table", open=False):
        frame = gr.Dataframe(label="Importance score of each block (rows: steps)", elem_id="frame", interactive=False)
    with gr.Row():
        numbers = gr.Checkbox(True, label="Numbers in the heatmaps", elem_id="numbers", min_width=160)
        intervals = gr.Checkbox(
            False, label="95% intervals", info="The line in a cell: from 0, its left edge, to 1", elem_id="intervals",
            min_width=200,
        )  # fmt: skip
        save = gr.Button("Save the table (JSON)", elem_id="save-table", size="sm")
        figure = gr.Button("Save the heatmap (PNG)", elem_id="save-figure", size="sm")
        load = gr.UploadButton("Load a table", elem_id="load-table", file_types=[".json"], size="sm")
    table_file = gr.DownloadButton("The table", elem_id="table-file", visible="hidden")
    figure_file = gr.DownloadButton("The heatmap", elem_id="figure-file", visible="hidden")
    return Importance(
        probe, stop, preset, runs, progress, scores, says, curves, ranks, frame, numbers, intervals, save, figure, table_file,
        figure_file, load,
    )  # fmt: skip


def redraw(engine: Engine, view: Importance, request: Request, chosen: Chosen) -> dict[Any, Any]:
    """The updates of every drawing of the screen."""
    blocks = engine.blocks(request.model)
    names = [block_name(block, engine.side(request)) for block in blocks]
    weights = request.weights(chosen.scores, places_of(blocks), chosen.weights)
    ranking = chosen.scores.argsort(axis=1, kind="stable").tolist()
    return {
        view.scores: heat_panel(engine, request, chosen, "importance"),
        view.curves: svg.curves(
            weights, request.controlled(chosen.scores, places_of(blocks)), names, request.mask(len(blocks))
        ),
        view.ranks: svg.ranks(ranking, names),
        view.findings: findings(chosen.table),
        view.frame: {
            "headers": ["step", *names],
            "data": [[t + 1, *(round(float(v), 3) for v in row)] for t, row in enumerate(chosen.scores)],
        },
    }


def run_probe(
    engine: Engine, view: Importance, request: Request, preset: str, runs: int,
    keep: Callable[[ImportanceTable], dict[Any, Any]], client: str = "",
) -> Iterator[dict[Any, Any]]:  # fmt: skip
    """Probe and yield updates. `keep(table)` is called with each table that is worth keeping, and gives its updates."""
    latest: ImportanceTable | None = None
    completed, done = 0, 0.0
    for event in engine.probe(
        request, preset=preset, runs=runs, surrogate=PRESETS[preset].allows_surrogate, client=client
    ):
        if isinstance(event, Waiting):
            yield {view.progress: bar(done, f"{event.ahead} before you…") if event.ahead else gr.skip()}
            continue
        latest, done = event.table, event.done
        text = f"Run {event.run + 1} of {runs}, iteration {event.iteration + 1}; {event.runs_completed} runs have voted"
        update = {view.progress: bar(event.done, text)}
        if event.runs_completed > completed or (latest.diagnostics["runs_completed"] == 0 and event.iteration % 5 == 0):
            completed = event.runs_completed
            update |= keep(latest)
        yield update
    if latest is None:
        return
    yield {view.progress: bar(1, "Checking it against the blocks' direct sensitivity…")} | keep(latest)
    for event in engine.agreement(request, latest.scores, client=client):
        if isinstance(event, Agreement):
            yield keep(event.recorded_in(latest))
        else:
            yield {view.progress: gr.skip()}
    yield {view.progress: line(f"Done: {latest.runs} runs on “{shortened(request.prompt)}”.")}


def write_table(view: Importance, table: ImportanceTable) -> str:
    """A file to download, in Gradio's cache, which is emptied as it ages."""
    return save_bytes_to_cache(table.to_json().encode(), "importance.json", view.table_file.GRADIO_CACHE)


def write_figure(view: Importance, chosen: Chosen, blocks: tuple[TargetBlock, ...], side: int) -> str:
    """A PNG to download, in Gradio's cache, which is emptied as it ages."""
    figure = importance_figure(chosen.scores, [block_name(block, side) for block in blocks], title=chosen.source)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=160)
    return save_bytes_to_cache(file.getvalue(), "importance.png", view.figure_file.GRADIO_CACHE)


def read_table(path: str, request: Request, blocks: tuple[TargetBlock, ...]) -> ImportanceTable:
    """A table somebody gives us, if it fits the model and the number of steps. ValueError of one sentence."""
    file = Path(path)
    if file.stat().st_size > MAX_BYTES:
        raise ValueError("This file is too large to be an importance table.")
    table = ImportanceTable.load(file)
    labels = tuple(block.label for block in blocks)
    if table.blocks != labels or table.steps != request.steps:
        raise ValueError(
            f"The table is for {table.steps} steps and blocks {', '.join(table.blocks)}; the model runs {request.steps} "
            f"steps and has blocks {', '.join(labels)}: set the steps to match, or load another."
        )
    return table
