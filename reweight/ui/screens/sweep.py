"""The Sweep screen: any setting against any other, as a grid of pictures that fills in batches."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from PIL import Image

from ...engine.axes import Axis, Setting, difference, offered, read_axis
from ...engine.engine import Notice, Picture, Scores, Waiting
from ...engine.naming import cell_name
from ...engine.points import MOST_CELLS, MOST_PUBLIC, Cell, Done, Point, grid
from ...engine.provenance import png_bytes, settings_of
from ...engine.request import REWEIGHTED, Request, RequestError
from ...methods import columns
from ...scoring import distance
from ..files import STATIC
from ..pace import about_seconds
from ..panels.names import block_name
from ..wording import caption, waiting
from . import batches
from .base import Act, Call, Event, Page, Screen

PAIRS = "pairs"  # Fig. 1a: N - 1 steps re-weighted above N steps vanilla


class Sweep(Screen):
    """Two settings varied against each other, with what it costs told before."""

    key = "sweep"
    title = "Sweep"
    scripts = (
        STATIC / "files.js",
        STATIC / "figures.js",
        STATIC / "sweep_chart.js",
        STATIC / "sweep.js",
        STATIC / "batch.js",
        STATIC / "takeaway.js",
    )
    styles = (STATIC / "sweep.css",)

    def build(self, page: Page) -> None:
        page.html(
            """
<div class="rw-card" id="sweep">
  <p class="rw-lead">Vary one setting across and another down; everything else, including the noise, stays fixed.</p>
  <div class="rw-line" role="group" aria-label="Ready-made sweeps" id="sweep-presets"></div>
  <div class="rw-axes">
    <label for="sweep-across">across</label><select id="sweep-across"></select>
    <input type="text" id="sweep-across-values" aria-label="Values across" spellcheck="false" autocomplete="off">
    <label for="sweep-down">down</label><select id="sweep-down"></select>
    <input type="text" id="sweep-down-values" aria-label="Values down" spellcheck="false" autocomplete="off">
    <label for="sweep-column">picture</label><select id="sweep-column"></select><span class="rw-note">values: 1, 2, 3 · 0.9-1.1 x5 · 1-9 (+2)</span>
  </div>
  <div class="rw-line"><button type="button" id="sweep-draw" class="rw-primary" disabled>Draw the grid</button>
    <span id="sweep-cost" class="rw-soft" aria-live="polite"></span></div>
</div>
<div class="rw-card" id="sweep-result" hidden>
  <div class="rw-line rw-sweep-head"><h3 id="sweep-title"></h3>
    <span class="rw-tools"><button type="button" class="rw-link" id="sweep-png">grid as PNG</button>
    <button type="button" class="rw-link" id="sweep-svg">SVG</button>
    <button type="button" class="rw-link" id="sweep-zip">every picture (ZIP)</button>
    <button type="button" class="rw-link" id="sweep-csv">numbers (CSV)</button></span></div>
  <div class="rw-scroll" tabindex="0" role="group" aria-label="The grid of pictures"><table id="sweep-grid"></table></div>
  <p class="rw-note" id="sweep-note" aria-live="polite"></p>
  <div id="sweep-chart"></div>
</div>
"""
            + batches.MARKUP
        )

    def acts(self) -> dict[str, Act]:
        return {"settings": settings, "cost": cost, "draw": draw, "batch-cost": batches.cost, "batch": batches.draw}


def settings(call: Call) -> Iterator[Event | None]:
    """What can be varied for the model on the page, with values to begin with."""
    request = call.request()
    yield {
        "kind": "settings",
        "settings": [
            {"name": s.name, "title": s.title, "group": s.group, "example": s.example, "choices": list(s.choices)}
            for s in of_model(call, request)
        ],
        "columns": [{"key": key, "title": columns.title(key)} for key in request.columns],
    }


def of_model(call: Call, request: Request) -> list[Setting]:
    """What can be varied, with blocks by the names that the page has for them."""
    side = call.engine.side(request)
    names = [block_name(block, side) for block in call.engine.blocks(request.model)]
    return offered(call.engine.card(request.model), names, request.columns, request.steps)


class Plan:
    """A sweep as somebody asks for it: axes, and a request or a sentence for each cell. ValueError of one sentence.

    given: `across`, `down`, each {name, values} (down may be null), `column`, and `pairs` for Fig. 1a's.
    """

    def __init__(self, call: Call) -> None:
        given, request = call.given, call.request()
        column = given.get("column")
        if isinstance(column, str) and column:
            columns.parts(column)
            request = request.model_copy(update={"columns": (column,)})
        self.request, self.call = request, call
        self.known = of_model(call, request)
        self.across = self._axis(given.get("across"))
        self.down = self._axis(given["down"]) if given.get("down") else None
        card, blocks = call.engine.card(request.model), call.engine.blocks(request.model)
        if given.get(PAIRS) is True:
            self._pairs()
        else:
            self.cells = grid(request, card, blocks, self.across, self.down, public=not call.engine.local)
        self.points = [
            Point(place, *found, call.chosen(found[0])) for place, found in self.cells.items() if not isinstance(found, str)
        ]  # fmt: skip
        if not self.points:
            raise RequestError(next(why for why in self.cells.values() if isinstance(why, str)))

    def _axis(self, raw: Any) -> Axis:
        if not isinstance(raw, dict):
            raise RequestError("Choose a setting to vary, and give its values.")
        return read_axis(raw.get("name"), raw.get("values"), self.known)

    def _pairs(self) -> None:
        """N - 1 steps re-weighted above N steps vanilla."""
        if self.across.name != "steps" or any(not isinstance(n, int) or n < 2 for n in self.across.values):
            raise RequestError("These pairs are of numbers of steps from 2 on: vary the steps across.")
        card, blocks = self.call.engine.card(self.request.model), self.call.engine.blocks(self.request.model)
        self.down = Axis("column", (REWEIGHTED, "vanilla"))
        fewer = Axis("steps", tuple(int(n) - 1 for n in self.across.values))
        above = grid(self.request, card, blocks, fewer, Axis("column", (REWEIGHTED,)))
        below = grid(self.request, card, blocks, self.across, Axis("column", ("vanilla",)))
        self.cells = above | {(1, j): found for (_, j), found in below.items()}

    def baselines(self) -> list[Point]:
        """The vanilla pictures that the cells are measured against, each once; place is the cell's vanilla key."""
        own = {point.request.vanilla_key(): point for point in self.points}
        return [
            Point(key, point.request.model_copy(update={"columns": ("vanilla",)}), "vanilla", point.chosen)
            for key, point in own.items()
        ]

    def about(self) -> Event:
        """The axes and the cells, for the page."""
        title = {setting.name: setting.title for setting in self.known}
        down = self.down or Axis("", ("",))
        labels = down.labels
        if self.call.given.get(PAIRS) is True:
            labels = ("Re-weighted, one step fewer", "Vanilla")
        elif down.name == "column":
            labels = tuple(columns.title(str(value)) for value in down.values)
        top = self.across.labels
        if self.across.name == "column":
            top = tuple(columns.title(str(value)) for value in self.across.values)
        return {
            "kind": "grid", "across": title[self.across.name], "down": title.get(down.name, ""), "columns": top, "rows": labels,
            "values": list(self.across.values), "name": self.across.name, "name_down": down.name, "prompt": self.request.prompt, "seed": self.request.seed,
            "column": columns.title(self.request.columns[0]), "model": self.call.engine.card(self.request.model).title,
            "impossible": [{"at": place, "why": why} for place, why in self.cells.items() if isinstance(why, str)],
        }  # fmt: skip


def cost(call: Call) -> Iterator[Event | None]:
    """What a sweep takes, in words."""
    plan = Plan(call)
    cells, all_of_it = (call.engine.sweep_cost(points) for points in (plan.points, [*plan.points, *plan.baselines()]))
    n, (steps, there), extra = len(plan.points), cells, all_of_it[0] - cells[0]
    most = MOST_CELLS if call.engine.local else MOST_PUBLIC
    text = f"{n} picture{'s' * (n != 1)} (at most {most})"
    if there:
        text += f", {there} of them drawn already"
    text += f": {steps} U-Net step{'s' * (steps != 1)}" if steps else ": nothing left to draw"
    text += f", and {extra} for the vanilla pictures to compare with" if extra else ""
    text += about_seconds(call, steps + extra) if steps else ""
    impossible = len(plan.cells) - n
    text += f". {impossible} cell{'s' * (impossible != 1)} cannot be drawn" if impossible else ""
    yield {"kind": "cost", "text": f"{text}."}


def draw(call: Call) -> Iterator[Event | None]:
    """Draw every cell, then measure each against its vanilla picture, and score it where there is a scorer."""
    plan = Plan(call)
    loaded = call.engine.opened(plan.request.model)
    yield plan.about()
    wanted = [*plan.points, *plan.baselines()]
    images: dict[Any, Image.Image] = {}
    pending = {point.place: point for point in plan.points}
    for event in call.engine.sweep(wanted, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
        elif isinstance(event, Notice):
            yield {"kind": "notice", "text": event.text}
        elif isinstance(event, Done):
            yield {
                "kind": "status",
                "done": event.step / event.steps,
                "text": f"Sweep: {event.step} of {event.steps} steps",
            }
        elif isinstance(event, Cell):
            point = event.point
            images[point.place] = event.made.image
            if point.place in pending:
                yield _told(plan, event, loaded)
            for place, other in list(pending.items()):
                key = other.request.vanilla_key()
                if place in images and key in images:
                    del pending[place]
                    far = distance(images[place], images[key])
                    yield {
                        "kind": "figures",
                        "at": place,
                        "ssim": round(far.ssim, 4),
                        "difference": round(far.mean_difference, 2),
                    }
    pictures, prompts = [images[point.place] for point in plan.points], [point.request.prompt for point in plan.points]
    for event in call.engine.scores(plan.request.model, pictures, prompts, client=call.client):
        if isinstance(event, Scores):
            values = [
                {"at": point.place, "score": round(value, 4)}
                for point, value in zip(plan.points, event.values, strict=True)
            ]
            yield {"kind": "scores", "scorer": event.scorer, "scores": values}


def _told(plan: Plan, cell: Cell, loaded: Any) -> Event:
    """A cell's picture with its settings in it, and what the page has to set to have the same."""
    point, made = cell.point, cell.made
    request, column = point.request, point.column
    table = (point.chosen.weight_table or point.chosen.table) if REWEIGHTED in column.split("+") else None
    picture = Picture(
        column, made.image, made.seconds, made.cached, request.seed, cell.drawing, table and table.sha256, made.reports,
    )  # fmt: skip
    i, j = point.place
    changes = {plan.across.name: plan.across.values[j]} | ({plan.down.name: plan.down.values[i]} if plan.down else {})
    stamped = settings_of(request, loaded, column, picture.weights, picture.table_sha256)
    return {
        "kind": "cell", "at": point.place, "png": base64.b64encode(png_bytes(made.image, stamped)).decode(),
        "name": cell_name(request.prompt, request.seed, column, changes), "column": column,
        "caption": caption(picture, request), "settings": difference(plan.request, request), "changes": changes,
        "together": cell.together,
    }  # fmt: skip
