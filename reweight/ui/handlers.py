"""What happens when something is pressed. Each handler is thin: it checks, asks the engine, and yields updates.

A handler that draws is a generator and yields often, because Gradio stops one between two yields.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from ..engine.engine import Engine, Loading, ModelError
from ..engine.request import COLUMNS, REWEIGHTED, Request, RequestError, validate
from ..engine.resolving import Chosen
from ..schedule import ImportanceTable
from .address import settings_in
from .controls import Controls, defaults, raw
from .errors import spoken
from .panels.word_chips import words_panel
from .screens import compare, importance
from .screens.compare import Compare, Shown
from .screens.importance import Importance
from .wording import about_model, bar, line

KEPT_TABLES = 20
Updates = dict[Any, Any]


@dataclass(frozen=True)
class Tables:
    """The importance tables of one visitor: probed here, newest last, and one loaded from a file."""

    probed: tuple[ImportanceTable, ...] = ()
    pinned: ImportanceTable | None = None

    def with_probed(self, table: ImportanceTable) -> Tables:
        """With a newly probed table in the place of the one before it; a loaded one makes way."""
        new = (table.prompt, table.model, table.steps)
        others = tuple(old for old in self.probed if (old.prompt, old.model, old.steps) != new)
        return Tables((*others, table)[-KEPT_TABLES:])


@dataclass(frozen=True)
class Handlers:
    """The engine and the components that it is shown with."""

    engine: Engine
    controls: Controls
    view: Compare
    screen: Importance
    status: gr.HTML
    about: gr.HTML
    tables: gr.State
    opened: gr.State

    def request_of(self, values: tuple[Any, ...]) -> Request:
        """The request that the controls' values make. ValueError of one sentence for what cannot be drawn."""
        named = raw(dict(zip(self.controls.inputs, values, strict=True)))
        if not named["model"]:
            raise RequestError("No model is chosen: choose one.")
        return validate(self.engine.card(named["model"]), **named)

    def settle(self, mine: Tables, values: tuple[Any, ...]) -> tuple[Request, Chosen]:
        """The request, and the scores that serve it."""
        request = self.request_of(values)
        return request, self.engine.chosen(request, mine.probed, mine.pinned)

    def drawings(self, request: Request, chosen: Chosen) -> Updates:
        """Every drawing that shows scores and weights."""
        heat = compare.heat_panel(self.engine, request, chosen, "weight")
        return {self.view.heat: heat} | importance.redraw(self.engine, self.screen, request, chosen)

    def generate(self, caller: gr.Request, mine: Tables, shown: Shown, pair: str, *values: Any) -> Iterator[Updates]:
        """Draw by all three methods."""
        with spoken():
            request, chosen = self.settle(mine, values)
            yield {self.status: bar(0, "Starting…")} | self.drawings(request, chosen)
            yield from self.drawn(caller, request, chosen, shown, pair)

    def drawn(
        self, caller: gr.Request, request: Request, chosen: Chosen, shown: Shown, pair: str,
        methods: tuple[str, ...] = COLUMNS,
    ) -> Iterator[Updates]:  # fmt: skip
        """The updates of `compare.run` for this page."""
        client = caller.session_hash or ""
        yield from compare.run(self.engine, self.view, self.status, request, chosen, shown, pair, methods, client)

    def stopped(self, mine: Tables, shown: Shown, pair: str) -> Updates:
        """The last comparison that was drawn to its end, in the place of one begun."""
        stopped = {self.status: line("Stopped.")}
        if shown.request is None:
            return stopped
        chosen = self.engine.chosen(shown.request, mine.probed, mine.pinned)
        pictures = compare.updates(self.engine, self.view, shown, COLUMNS, pair)
        return stopped | pictures | self.drawings(shown.request, chosen)

    def low(self, caller: gr.Request, live: bool, mine: Tables, shown: Shown, pair: str, *values: Any):
        """The low slider has moved, and takes high with it."""
        named = dict(zip(self.controls.inputs, values, strict=True))
        values = tuple((named | {"high": max(named["low"], named["high"])}).values())
        yield from self.moved(caller, live, mine, shown, pair, values)

    def high(self, caller: gr.Request, live: bool, mine: Tables, shown: Shown, pair: str, *values: Any):
        """The high slider has moved, and takes low with it."""
        named = dict(zip(self.controls.inputs, values, strict=True))
        values = tuple((named | {"low": min(named["low"], named["high"])}).values())
        yield from self.moved(caller, live, mine, shown, pair, values)

    def moved(
        self, caller: gr.Request, live: bool, mine: Tables, shown: Shown, pair: str, values: tuple[Any, ...]
    ) -> Iterator[Updates]:
        """Draw for another low or high. The page has repainted the drawings by itself."""
        with spoken():
            request, chosen = self.settle(mine, values)
            same = shown.serves(request)
            if not same:
                yield self.drawings(request, chosen)
            if live:
                yield from self.drawn(caller, request, chosen, shown, pair, ("reweighted",) if same else COLUMNS)
            else:
                yield {self.status: line("“Generate” draws the picture with these weights.")}

    def scheduled(self, caller: gr.Request, live: bool, mine: Tables, shown: Shown, pair: str, *values: Any):
        """The schedule, the blocks or the steps that are re-weighted have changed."""
        with spoken():
            yield self.drawings(*self.settle(mine, values))
        yield from self.moved(caller, live, mine, shown, pair, values)

    def probe(self, caller: gr.Request, mine: Tables, preset: str, runs: float, *values: Any) -> Iterator[Updates]:
        """Probe this prompt; every table on the way is kept, so that Stop loses nothing."""
        with spoken():
            request = self.request_of(values)
            shown = request
            if not request.reweighting.control().probed:
                probed = replace(request.reweighting, schedule="importance")
                shown = request.model_copy(update={"methods": request.methods | {REWEIGHTED: probed}})
            latest = mine

            def keep(table: ImportanceTable) -> Updates:
                nonlocal latest
                latest = latest.with_probed(table)
                return {self.tables: latest} | self.drawings(shown, self.engine.chosen(shown, latest.probed))

            client = caller.session_hash or ""
            if shown is not request:
                yield {self.controls.inputs["schedule"]: "importance"}
            yield from importance.run_probe(self.engine, self.screen, shown, preset, int(runs), keep, client)

    def pair(self, shown: Shown, name: str) -> tuple[Any, Any]:
        """Other two pictures to compare."""
        if not shown.pictures or len(shown.pictures) < len(COLUMNS):
            return gr.skip(), gr.skip()
        return compare.pair_of(shown.pictures, name)

    def model(self, caller: gr.Request, name: str | None, before: str) -> Iterator[Updates]:
        """Another model, or the one before it and a sentence where it cannot be had."""
        with spoken():
            try:
                if not name:
                    raise ModelError("No model is chosen.")
                for event in self.engine.open(name, client=caller.session_hash or ""):
                    if isinstance(event, Loading):
                        yield {self.status: bar(event.fraction, event.text)}
                    else:
                        yield {self.status: gr.skip()}
                yield self.card_updates(name) | {self.opened: name} | self.model_updates(name)
            except ModelError as error:
                sentence = f"{error} {before} keeps serving."
                yield {self.controls.inputs["model"]: before, self.status: line(sentence)}
                raise

    def card_updates(self, name: str) -> Updates:
        """A model's defaults and limits, into every control that has them."""
        card, blocks = self.engine.card(name), self.engine.blocks(name)
        inputs, values = self.controls.inputs, defaults(card, blocks)
        limits = dict.fromkeys(("steps", "first_step", "last_step"), card.max_steps) | {"size": card.max_size}
        updates = {inputs[key]: gr.update(value=value) for key, value in values.items()}
        updates |= {inputs[key]: gr.update(value=values[key], maximum=limit) for key, limit in limits.items()}
        choices = [(block.label, block.index) for block in blocks]
        return updates | {inputs["blocks"]: gr.update(choices=choices, value=values["blocks"])}

    def model_updates(self, name: str) -> Updates:
        """What the page says of a model: where it comes from, and what it knows."""
        loaded = self.engine.opened(name)
        return {
            self.about: about_model(loaded),
            self.controls.words: words_panel(loaded),
            self.controls.surprise: gr.update(visible=loaded.vocabulary is not None),
        }

    def reset(self, name: str, mine: Tables) -> Updates:
        """A model's defaults, and no loaded table; probed ones are kept."""
        with spoken():
            return self.card_updates(name) | {self.tables: replace(mine, pinned=None)}

    def load(self, caller: gr.Request) -> Updates:
        """The settings in the address. In local mode only the first model, so that no link can start a download."""
        query = dict(caller.query_params)
        inputs = self.controls.inputs
        first, name = self.engine.models[0], query.get("model")
        name = name if name in self.engine.models and not self.engine.local else first
        updates: Updates = {self.status: gr.skip()}
        if name != first:
            updates |= self.card_updates(name)
            updates |= {inputs["model"]: name, self.opened: name} | self.model_updates(name)
        found = settings_in(query, self.engine.card(name))
        if "steps" in found:
            found["last_step"] = found["steps"]
        for key, value in found.items():
            updates[inputs[key]] = updates.get(inputs[key], {}) | gr.update(value=value)
        return updates

    def surprise(self, name: str) -> str:
        """A caption by chance, of the words that a model knows."""
        with spoken():
            vocabulary = self.engine.opened(name).vocabulary
            return gr.skip() if vocabulary is None else vocabulary.surprise(random.randrange(2**32))

    def other_seed(self) -> int:
        """A seed by chance."""
        return random.randrange(10**6)

    def steps(self, steps: float) -> tuple[int, float]:
        """All of the steps are re-weighted, when there are more or fewer of them."""
        return 1, steps

    def save(self, mine: Tables, *values: Any) -> str:
        """The table as a file."""
        with spoken():
            table = self.settle(mine, values)[1].table
            if table is None:
                raise ValueError("There is no probed table for this prompt yet: press “Probe now” first.")
            return importance.write_table(self.screen, table)

    def figure(self, mine: Tables, *values: Any) -> str:
        """The heatmap as a file."""
        with spoken():
            request, chosen = self.settle(mine, values)
            blocks, side = self.engine.blocks(request.model), self.engine.side(request)
            return importance.write_figure(self.screen, chosen, blocks, side)

    def load_table(self, file: str, mine: Tables, *values: Any) -> Updates:
        """A table from a file, which serves from now on."""
        with spoken():
            request = self.request_of(values)
            pinned = importance.read_table(file, request, self.engine.blocks(request.model))
            mine = replace(mine, pinned=pinned)
            return {self.tables: mine} | self.drawings(request, self.engine.chosen(request, mine.probed, pinned))
