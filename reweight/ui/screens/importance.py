"""The Importance screen: the verdict first, the paper's probe, ours and the direct check side by side; tables in and out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape

import numpy as np

from ...engine.engine import ProbeSnapshot, Waiting
from ...engine.request import REWEIGHTED, Request, RequestError
from ...engine.resolving import CALIBRATED, EMPIRICAL, Chosen, is_calibrated
from ...patching.blocks import TargetBlock
from ...probing.search import PRESETS
from ...schedule import ImportanceTable
from ...storage.table_document import MAX_BYTES
from ..files import STATIC
from ..instrument import instrument
from ..pace import CHEAP, about_seconds, evaluations
from ..panels.curves import ranks
from ..panels.heat import heatmap, legend
from ..panels.names import block_name
from ..verdict import (
    Check,
    by_step,
    compared,
    definition,
    findings,
    provenance,
    score_interval,
    spoken,
    titled,
    verdict,
)
from ..wording import cell_notes, shortened, waiting
from . import prompt_tuning
from .base import Act, Call, Event, Page, Screen

PRESET_NAMES = {"paper-code": "paper's code", "paper-text": "paper's text", CALIBRATED: "calibrated (ours)"}
RANKINGS = ("importance", CALIBRATED)  # schedules
MOST_RUNS = 30


class Importance(Screen):
    """Which block matters when, how that was found, and how far to trust it."""

    key = "importance"
    title = "Importance"
    scripts = (STATIC / "importance.js",)
    styles = (STATIC / "importance.css",)

    def build(self, page: Page) -> None:
        presets = "".join(
            f'<label class="rw-seg"><input type="radio" name="rw-preset" value="{name}"{" checked" if name == "paper-code" else ""}>'
            f"<span>{escape(PRESET_NAMES.get(name, name))}</span></label>"
            for name in PRESETS
        )
        page.html(f"""
<div class="rw-card"><p id="verdict" aria-live="polite">Which block matters when?</p>
  <p class="rw-note" id="definition"></p><details id="by-step" hidden><summary>Tau-b at each step</summary><div></div></details>
  <div id="rankings" class="rw-rankings"></div>{legend("importance")}
  <p class="rw-note" id="cell-note" aria-live="polite">The line at the foot of a cell is its score’s 95% interval: left edge 0, right edge 1. Click a cell for an explanation.</p>
  <div class="rw-line"><button type="button" id="probe">Probe this prompt</button>
    <span role="radiogroup" aria-label="Preset" id="preset">{presets}</span>
    <span class="rw-together"><label class="rw-label" for="runs">Runs</label><input type="number" id="runs" min="1" max="{MOST_RUNS}" step="1" value="15"></span>
    <span class="rw-note" id="probe-note"></span></div>
  <div class="rw-line"><button type="button" id="tune">Tune weights for this prompt</button>
    <span class="rw-note" id="tune-note" aria-live="polite">Optimises the weights by gradient for the model’s scorer, on a few seeds of this prompt.</span></div></div>
<div class="rw-slot"></div>
<div class="rw-card rw-two"><div><div id="ranks"></div><details><summary>How it was measured, and how certain it is</summary><div id="findings" class="rw-findings"></div></details></div>
  <div id="curves" class="rw-curves-here"></div></div>
<details class="rw-card" id="numbers"><summary>Numbers, and tables as files</summary><div class="rw-scroll" id="frame"></div>
  <div class="rw-line"><button type="button" id="save-table">Save the table (JSON)</button><button type="button" id="save-csv">Save the numbers (CSV)</button>
  <button type="button" id="load-table">Load a table</button><input type="file" id="table-file" accept=".json" hidden></div></details>
""")

    def acts(self) -> Mapping[str, Act]:
        return {"show": show, "direct": direct, "probe": probe, "tune": tuned_here, "save": save, "load": load}


def show(call: Call) -> Iterator[Event | None]:
    """Every drawing of the screen, and what the direct check takes where it was not made yet."""
    request = call.request()
    n = len(call.engine.blocks(request.model)) + 1
    yield drawn(call, request) | {
        "cheap": evaluations(request, n) <= CHEAP,
        "cost": f"{evaluations(request, n)} U-Net evaluations{about_seconds(call, n * request.steps)}.",
    }  # fmt: skip


def direct(call: Call) -> Iterator[Event | None]:
    """Switch every block off at every step, unless that is known, and show what it says of the rankings."""
    request = call.request()
    if request.vanilla_key() not in call.session.direct:
        for event in call.engine.direct(request, client=call.client):
            if isinstance(event, np.ndarray):
                call.session.keep_direct(request.vanilla_key(), event)
            else:
                yield waiting(event)
    yield drawn(call, request)


def following(request: Request, schedule: str) -> Request:
    """The request with another schedule."""
    other = replace(request.reweighting, schedule=schedule)
    return request.model_copy(update={"methods": request.methods | {REWEIGHTED: other}})


def drawn(call: Call, request: Request) -> Event:
    """The drawings and the numbers of the scores that serve a request, beside the other ranking and the direct check.

    Every ranking is named by what its own scores are, whichever schedule asked for them.
    """
    blocks, side = call.engine.blocks(request.model), call.engine.side(request)
    names = [block_name(block, side) for block in blocks]
    errors = call.session.direct.get(request.vanilla_key())
    rankings = rankings_of(call, request)
    checks = {spoken(one): None if errors is None else Check.of(one, errors) for one in rankings.values()}
    panels = [
        {
            "schedule": schedule, "title": titled(chosen), "heat": _heat(chosen, blocks, side, names),
            "source": ", ".join(filter(None, (chosen.source, provenance(chosen)))), "name": spoken(chosen, plain=True),
            "tau": "" if (check := checks[spoken(chosen)]) is None else check.says(), "about": about(chosen, request),
            "check": {} if check is None else check.columns(),
        }
        for schedule, chosen in rankings.items()
    ]  # fmt: skip
    if errors is not None:
        panels.append(_direct(errors, names, request))
    chosen = call.chosen(request)
    probed = request.reweighting.schedule in RANKINGS
    ends = score_interval(chosen.table)
    scheduler = type(call.engine.opened(request.model).pipe.scheduler).__name__
    return {
        "kind": "importance", "panels": panels,
        "verdict": verdict(checks, spoken(chosen) if probed else f"“{request.reweighting.control().title}”"),
        "definition": definition(request.seed, request.steps, len(blocks)),
        "by_step": by_step(checks) + compared(scheduler) if errors is not None else "",
        "ranks": ranks(chosen.scores, names, of=spoken(chosen), interval=ends), "about": about(chosen, request),
        "findings": findings(chosen.table, None if errors is None or not chosen.method else Check.of(chosen, errors)),
        "names": names, "scores": chosen.scores.round(3).tolist(), "of": spoken(chosen), "checked": errors is not None,
        "interval": None if ends is None else [end.round(3).tolist() for end in ends],
        "told": instrument(call.engine, request, chosen)[0],
    }  # fmt: skip


def rankings_of(call: Call, request: Request) -> dict[str, Chosen]:
    """The scores that serve each schedule of RANKINGS; where there is no probe for either, the empirical ones once."""
    found = {schedule: call.chosen(following(request, schedule)) for schedule in RANKINGS}
    probed = {schedule: chosen for schedule, chosen in found.items() if chosen.method != EMPIRICAL}
    return probed or {RANKINGS[0]: found[RANKINGS[0]]}


def about(chosen: Chosen, request: Request) -> dict[str, str | int]:
    """What scores are of, for captions and CSV files: their table's own seed and scheduler, not those of the pictures."""
    table = chosen.table
    return {
        "model": request.model, "prompt": table.prompt if table else request.prompt, "method": chosen.method or "weights",
        "seed": "" if table is None or table.seed is None else table.seed, "steps": request.steps,
        "scheduler": table.scheduler if table else "", "source": chosen.source,
    }  # fmt: skip


def _direct(errors: np.ndarray, names: list[str], request: Request) -> Event:
    largest = errors.max(axis=1, keepdims=True)
    share = errors / np.where(largest > 0, largest, 1)
    notes = np.array(
        [[f"{name}, step {t + 1}: switching it off changes the U-Net's output by {e:.2g} (mean squared error)." for name, e in zip(names, row, strict=True)] for t, row in enumerate(errors)],
        dtype=object,
    )  # fmt: skip
    title = "The direct check"
    source = "mean squared error of the U-Net's output with only that block switched off"
    return {
        "schedule": None, "title": title, "name": "direct-check", "tau": "", "check": {},
        "source": f"{source}, as a share of the step's largest, in logarithmic colours; seed {request.seed}, DDIM",
        "heat": heatmap(share, names, kind="importance", title=title, notes=notes, measured=errors),
        "about": {
            "model": request.model, "prompt": request.prompt, "method": "direct check", "seed": request.seed,
            "steps": request.steps, "scheduler": "DDIMScheduler", "source": source,
        },
    }  # fmt: skip


def _heat(chosen: Chosen, blocks: tuple[TargetBlock, ...], side: int, names: list[str]) -> str:
    return heatmap(
        chosen.scores, names, kind="importance", title="The importance score of each block at each step",
        notes=cell_notes(blocks, side, chosen.scores, chosen.table), interval=score_interval(chosen.table),
    )  # fmt: skip


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
        request = following(request, schedule)
        yield {"kind": "schedule", "value": schedule}

    def keep(table: ImportanceTable) -> Event:
        call.session.tables = call.session.tables.with_probed(table)
        return drawn(call, request)

    latest: ImportanceTable | None = None
    completed = 0
    surrogate = PRESETS[preset].allows_surrogate
    for event in call.engine.probe(request, preset=preset, runs=runs, surrogate=surrogate, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
            continue
        assert isinstance(event, ProbeSnapshot)
        latest = event.table
        yield {
            "kind": "status",
            "done": event.done,
            "text": f"Probing: run {event.run + 1} of {runs}, {event.runs_completed} finished",
        }
        if event.runs_completed > completed or (latest.diagnostics["runs_completed"] == 0 and event.iteration % 5 == 0):
            completed = event.runs_completed
            yield keep(latest)
    if latest is not None:
        yield keep(latest)
        yield from direct(replace(call, settings={**call.settings, "schedule": schedule}))
        yield {
            "kind": "status",
            "done": 1,
            "text": f"Probed: {latest.runs} runs on “{shortened(request.prompt)}”. The weights follow {spoken(call.chosen(request))} now.",
        }


def tuned_here(call: Call) -> Iterator[Event | None]:
    """Weights tuned for this prompt, which the weights then follow."""
    return prompt_tuning.tune(call, following, drawn)


def save(call: Call) -> Iterator[Event | None]:
    """The table that the weights follow, as JSON."""
    table = call.chosen(call.request()).table
    if table is None:
        raise ValueError("There is no probed table for this prompt yet: press “Probe this prompt” first.")
    yield {"kind": "file", "name": "importance.json", "text": table.to_json()}


def load(call: Call) -> Iterator[Event | None]:
    """A table from a file, which serves from now on. given: `text`."""
    text = call.given.get("text")
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        raise ValueError("This is not an importance table: it is no text, or too large.")
    request = call.request()
    table = fitting(ImportanceTable.from_json(text), request, call.engine.blocks(request.model))
    call.session.tables = replace(call.session.tables, pinned=table)
    control = request.reweighting.control()
    if not control.probed or (control.key == CALIBRATED) != is_calibrated(table):
        schedule = CALIBRATED if is_calibrated(table) else "importance"
        request = following(request, schedule)
        yield {"kind": "schedule", "value": schedule}
    yield drawn(call, request)


def fitting(table: ImportanceTable, request: Request, blocks: tuple[TargetBlock, ...]) -> ImportanceTable:
    """The table, if it is of the request's model and number of steps. ValueError of one sentence otherwise."""
    labels = tuple(block.label for block in blocks)
    if table.blocks != labels or table.steps != request.steps or table.model != request.model:
        raise ValueError(
            f"The table is of {table.model} with {table.steps} steps and blocks {', '.join(table.blocks)}; the page has "
            f"{request.model} with {request.steps} steps and blocks {', '.join(labels)}: choose those, or load another."
        )
    return table
