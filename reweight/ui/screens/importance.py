"""The Importance screen: the verdict first, scores, curves, ranks; the probe, live; tables in and out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from ...engine.engine import Agreement, Engine, ProbeSnapshot, Waiting
from ...engine.request import REWEIGHTED, Request, RequestError
from ...engine.resolving import CALIBRATED, Chosen
from ...patching.blocks import TargetBlock
from ...probing.search import PRESETS
from ...schedule import ImportanceTable
from ..panels.curves import ranks
from ..panels.heat import heatmap, legend
from ..panels.names import block_name
from ..wording import cell_notes, findings, score_interval, shortened, waiting
from .base import Act, Call, Event, Screen

if TYPE_CHECKING:
    from ..page import Page

PRESET_NAMES = {"paper-code": "paper's code", "paper-text": "paper's text", "calibrated": "calibrated (ours)"}
MOST_RUNS = 30


class Importance(Screen):
    """Which block matters when, how that was found, and how far to trust it."""

    key = "importance"
    title = "Importance"

    def build(self, page: Page) -> None:
        presets = "".join(
            f'<label class="rw-seg"><input type="radio" name="rw-preset" value="{name}"{" checked" if name == "paper-code" else ""}>'
            f"<span>{escape(PRESET_NAMES.get(name, name))}</span></label>"
            for name in PRESETS
        )
        page.html(f"""
<div class="rw-card"><div id="findings" class="rw-findings" aria-live="polite"></div>
  <div class="rw-line rw-tools-line"><button type="button" id="probe">Probe this prompt</button>
    <span role="radiogroup" aria-label="Preset" id="preset">{presets}</span>
    <label class="rw-label" for="runs">Runs</label><input type="number" id="runs" min="1" max="{MOST_RUNS}" step="1" value="15"></div></div>
<div class="rw-card rw-two"><div><h3>Importance of each block at each step</h3><div class="rw-scroll" id="heat-importance"></div>
  {legend("importance")}<p class="rw-note" aria-live="polite">Choose a cell to have it explained.</p></div>
  <div><div id="ranks"></div><div id="curves" class="rw-curves-here"></div></div></div>
<div class="rw-slot"></div>
<details class="rw-card" id="numbers"><summary>The numbers, and tables as files</summary><div class="rw-scroll" id="frame"></div>
  <div class="rw-line"><button type="button" id="save-table">Save the table (JSON)</button><button type="button" id="save-csv">Save the numbers (CSV)</button>
  <button type="button" id="load-table">Load a table</button><input type="file" id="table-file" accept=".json" hidden></div></details>
""")

    def acts(self) -> Mapping[str, Act]:
        return {"show": show, "probe": probe, "save": save, "load": load}


def show(call: Call) -> Iterator[Event | None]:
    """Every drawing of the screen."""
    request = call.request()
    yield drawn(call.engine, request, call.chosen(request))


def drawn(engine: Engine, request: Request, chosen: Chosen) -> Event:
    """The drawings and the numbers of the scores that serve a request."""
    blocks, side = engine.blocks(request.model), engine.side(request)
    names = [block_name(block, side) for block in blocks]
    heat = heatmap(
        chosen.scores, names, kind="importance", title="The importance score of each block at each step",
        notes=cell_notes(blocks, side, chosen.scores, chosen.table), interval=score_interval(chosen.table),
    )  # fmt: skip
    return {
        "kind": "importance", "heat": heat, "ranks": ranks(chosen.scores, names), "findings": findings(chosen.table),
        "names": names, "scores": chosen.scores.round(3).tolist(),
    }  # fmt: skip


def probe(call: Call) -> Iterator[Event | None]:
    """Probe this prompt; every table on the way is kept, so that Stop loses nothing. given: `preset`, `runs`."""
    preset, runs = call.given.get("preset"), call.given.get("runs")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise RequestError(f"There is no preset of that name: choose one of {', '.join(PRESETS)}.")
    if type(runs) is not int or not 1 <= runs <= MOST_RUNS:
        raise RequestError(f"The number of runs must be a whole number from 1 to {MOST_RUNS}.")
    request = call.request()
    schedule = CALIBRATED if preset == CALIBRATED else "importance"
    if request.reweighting.schedule != schedule:
        probed = replace(request.reweighting, schedule=schedule)
        request = request.model_copy(update={"methods": request.methods | {REWEIGHTED: probed}})
        yield {"kind": "schedule", "value": schedule}

    def keep(table: ImportanceTable) -> Event:
        call.session.tables = call.session.tables.with_probed(table)
        return drawn(call.engine, request, call.chosen(request))

    latest: ImportanceTable | None = None
    completed, done = 0, 0.0
    surrogate = PRESETS[preset].allows_surrogate
    for event in call.engine.probe(request, preset=preset, runs=runs, surrogate=surrogate, client=call.session.id):
        if isinstance(event, Waiting):
            yield waiting(event)
            continue
        assert isinstance(event, ProbeSnapshot)
        latest, done = event.table, event.done
        text = f"Probing: run {event.run + 1} of {runs}, {event.runs_completed} have voted"
        yield {"kind": "status", "done": done, "text": text}
        if event.runs_completed > completed or (latest.diagnostics["runs_completed"] == 0 and event.iteration % 5 == 0):
            completed = event.runs_completed
            yield keep(latest)
    if latest is None:
        return
    yield {"kind": "status", "done": 1, "text": "Checking it against the blocks' direct sensitivity…"}
    yield keep(latest)
    for event in call.engine.agreement(request, latest.scores, client=call.session.id):
        yield keep(event.recorded_in(latest)) if isinstance(event, Agreement) else None
    yield {"kind": "status", "done": 1, "text": f"Probed: {latest.runs} runs on “{shortened(request.prompt)}”."}


def save(call: Call) -> Iterator[Event | None]:
    """The table as JSON."""
    table = call.chosen(call.request()).table
    if table is None:
        raise ValueError("There is no probed table for this prompt yet: press “Probe this prompt” first.")
    yield {"kind": "file", "name": "importance.json", "text": table.to_json()}


def load(call: Call) -> Iterator[Event | None]:
    """A table from a file, which serves from now on. given: `text`."""
    text = call.given.get("text")
    if not isinstance(text, str):
        raise ValueError("A table is read from a JSON file.")
    request = call.request()
    table = fitting(ImportanceTable.from_json(text), request, call.engine.blocks(request.model))
    call.session.tables = replace(call.session.tables, pinned=table)
    yield drawn(call.engine, request, call.chosen(request))


def fitting(table: ImportanceTable, request: Request, blocks: tuple[TargetBlock, ...]) -> ImportanceTable:
    """The table, if it is of the request's model and number of steps. ValueError of one sentence otherwise."""
    labels = tuple(block.label for block in blocks)
    if table.blocks != labels or table.steps != request.steps or table.model != request.model:
        raise ValueError(
            f"The table is of {table.model} with {table.steps} steps and blocks {', '.join(table.blocks)}; the page has "
            f"{request.model} with {request.steps} steps and blocks {', '.join(labels)}: choose those, or load another."
        )
    return table
