"""The Compare screen: the same noise drawn by each column's methods, and how far each picture is from vanilla."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...engine.drawing import drawing_of
from ...engine.engine import Engine, Notice, Picture, Preview, Step, Waiting
from ...engine.naming import slug
from ...engine.provenance import png_bytes, settings_of
from ...engine.request import Request
from ...engine.resolving import Chosen
from ...methods import METHODS, columns
from ...scoring import distance
from .. import painted
from ..address import query_of
from ..atlas import beforehand, key_of, said
from ..examples import data_url
from ..instrument import drawings, instrument
from ..live import request_of
from ..model_facts import about
from ..session import Made
from ..wording import caption, change, waiting
from .base import Act, Call, Event, Page, Screen

SOON = 0.15  # seconds that a drawing takes before the page says how far it is


class Compare(Screen):
    """Pictures in columns of methods and rows of seeds; what differs between two of them."""

    key = "compare"
    title = "Compare"

    def build(self, page: Page) -> None:
        page.html(
            '<div class="rw-card rw-pictures-card"><div id="pictures" class="rw-pictures" aria-live="off"></div>'
            '<div class="rw-told"><p id="said" class="rw-said" aria-live="polite"></p>'
            '<div id="since" class="rw-none"><figure><button type="button" id="since-before" title="Point at it to see it in the place of the '
            'new one"><canvas role="img" aria-label="The picture before"></canvas></button><figcaption>before</figcaption></figure><figure>'
            '<canvas role="img" aria-label="Where the picture has changed: black is equal"></canvas><figcaption>where, ×4</figcaption></figure></div>'
            '<div class="rw-tries"><h3>Try</h3><div id="tries" role="group" aria-label="Try"></div></div></div></div>'
            '<div class="rw-slot"></div>'
            '<details class="rw-card" id="differ"><summary>Differences, side by side</summary><div class="rw-differ">'
            '<div class="rw-row"><label class="rw-label" for="pair-left">Pair</label><span><select id="pair-left"></select> '
            '<select id="pair-right" aria-label="with"></select></span></div>'
            '<div class="rw-two"><figure><div id="image-slider"><img class="rw-under" alt=""><img class="rw-over" alt="">'
            '<input type="range" min="0" max="100" value="50" aria-label="Slide from one picture to the other"></div>'
            "<figcaption>Drag to compare</figcaption></figure>"
            '<figure><canvas id="difference" role="img" aria-label="Where the two pictures differ: black is equal"></canvas>'
            "<figcaption>Difference, amplified four times</figcaption></figure></div></div></details>"
        )

    def acts(self) -> Mapping[str, Act]:
        return {
            "draw": draw,
            "open": open_model,
            "surprise": surprise,
            "save-weights": painted.save,
            "load-weights": painted.load,
        }


def draw(call: Call) -> Iterator[Event | None]:
    """Draw what the page does not show yet, then measure it.

    given: `have`, keys of the pictures that the page shows; `ready`, keys of precomputed ones that it shows; `panels`,
    the key of its drawings; `before`, the key of the re-weighted picture before what the visitor did last.
    """
    request = call.request()
    chosen = call.chosen(request)
    loaded = call.engine.opened(request.model)
    about, key = instrument(call.engine, request, chosen)
    about |= {
        "query": query_of(call.settings, call.engine.card(request.model)),
        "inert": inert(call.engine, request, chosen),
    }
    if call.given.get("panels") != key:
        about |= {"panels": key, "drawings": drawings(call.engine, request, chosen)}
    yield {"kind": "about"} | about
    seeds = (request.seed, *call.seeds(request))
    grid, keys = laid(call.engine, request, chosen, seeds)
    yield grid
    have, ready = _texts(call.given.get("have")), _texts(call.given.get("ready"))
    missing = {place: key for place, key in keys.items() if key not in have | ready}
    yield from precomputed(call.engine, request, missing)
    wanted = [column for column in request.columns if any(keys[column, seed] not in have for seed in seeds)]
    wanted.sort(key=lambda column: "reweighted" not in column)  # what the hand moves comes first
    shown: dict[tuple[str, int], Picture] = {}
    total = len(wanted) * len(seeds) * request.steps
    done, began = 0, time.monotonic()
    drawing = call.engine.compare(request, chosen, wanted, seeds=seeds[1:], preview=True, client=call.client)
    for event in drawing if wanted else ():
        if isinstance(event, Waiting):
            yield waiting(event)
        elif isinstance(event, Notice):
            yield {"kind": "notice", "text": event.text}
        elif isinstance(event, Step):
            done += 1
            if time.monotonic() - began > SOON:
                yield {
                    "kind": "status",
                    "done": min(1, done / total),
                    "text": f"{columns.title(event.column)}: step {event.step} of {event.steps}",
                }
        elif isinstance(event, Preview):
            yield {"kind": "preview", "column": event.column, "seed": event.seed, "picture": data_url(event.image)}
        elif isinstance(event, Picture):
            asked = request if event.seed == request.seed else request.model_copy(update={"seed": event.seed})
            shown[event.column, event.seed] = event
            call.session.keep(keys[event.column, event.seed], Made(asked, event))
            settings = settings_of(asked, loaded, event.column, event.weights, event.table_sha256)
            yield {
                "kind": "picture", "column": event.column, "seed": event.seed, "key": keys[event.column, event.seed],
                "png": base64.b64encode(png_bytes(event.image, settings)).decode(), "name": file_name(asked, event),
                "caption": caption(event, asked), "alt": f"{columns.title(event.column)}: {request.prompt}, seed {event.seed}",
            }  # fmt: skip
    yield from measured(call, request, keys)


def laid(
    engine: Engine, request: Request, chosen: Chosen, seeds: Sequence[int]
) -> tuple[Event, dict[tuple[str, int], str]]:
    """The page's grid of columns and seeds, and the key of each (column, seed)."""
    keys = {
        (column, seed): key_of(engine, request.model_copy(update={"seed": seed}), column, chosen)
        for seed in seeds
        for column in request.columns
    }
    grid = {
        "kind": "grid", "seeds": list(seeds),
        "columns": [
            {"key": column, "title": columns.title(column), "about": columns.about(column)} for column in request.columns
        ],
        "keys": [[keys[column, seed] for column in request.columns] for seed in seeds],
    }  # fmt: skip
    return grid, keys


def precomputed(engine: Engine, request: Request, keys: Mapping[tuple[str, int], str]) -> Iterator[Event]:
    """What was drawn beforehand of these pictures: each as if it had just been drawn, but marked."""
    found = False
    for (column, seed), key in keys.items():
        if ready := beforehand(request.model, key):
            far = ready.pop("vanilla")
            found = True
            yield {
                "kind": "picture", "precomputed": True, "column": column, "seed": seed, "key": key, **ready,
                "caption": "precomputed with this model and these settings",
                "alt": f"{columns.title(column)}: {request.prompt}, seed {seed}",
            }  # fmt: skip
            if far:
                yield {"kind": "measured", "column": column, "seed": seed, "key": key, "vanilla": far}
    if found:
        yield {"kind": "status", "done": 0, "text": said(cold=_cold(engine))}


def first_view(engine: Engine, settings: Mapping[str, Any]) -> list[Event]:
    """The grid of a page that opens, with the pictures that were drawn beforehand; nothing where there are none."""
    try:
        request = request_of(engine, settings)
    except ValueError:
        return []
    grid, keys = laid(engine, request, engine.chosen(request), [request.seed])
    found = list(precomputed(engine, request, keys))
    return [grid, *found] if found else []


def _cold(engine: Engine) -> bool:
    """Whether the engine has done nothing yet but load its models."""
    return engine.worker.status().ended <= sum(engine.is_open(name) for name in engine.models)


def _texts(given: Any) -> set[str]:
    return set(given) if isinstance(given, list) and all(isinstance(item, str) for item in given) else set()


def measured(call: Call, request: Request, keys: Mapping[tuple[str, int], str]) -> Iterator[Event | None]:
    """How far each picture is from vanilla, and how far the last act moved the re-weighted one."""
    kept = call.session.pictures
    before = kept.get(str(call.given.get("before")))
    for (column, seed), key in keys.items():
        made, vanilla = kept.get(key), kept.get(keys.get(("vanilla", seed), ""))
        if made is None:
            continue
        event: Event = {"kind": "measured", "column": column, "seed": seed, "key": key}
        if vanilla is not None and column != "vanilla":
            event |= {"vanilla": change(distance(made.picture.image, vanilla.picture.image))}
        if before is not None and _alike(before.picture, made.picture):
            event |= {"before": change(distance(made.picture.image, before.picture.image))}
        yield event


def _alike(a: Picture, b: Picture) -> bool:
    """Whether two pictures stand in the same place of the grid."""
    return (a.column, a.seed, a.image.size) == (b.column, b.seed, b.image.size)


def open_model(call: Call) -> Iterator[Event | None]:
    """Load a model, say how far that is, and give the page what it needs to know of it. given: `model`."""
    name = call.given.get("model")
    if not isinstance(name, str) or not name:
        raise ValueError("No model is chosen: choose one.")
    for event in call.engine.open(name, client=call.client):
        if hasattr(event, "fraction"):
            yield {"kind": "status", "done": event.fraction, "text": event.text}
        elif isinstance(event, Waiting):
            yield waiting(event) if event.ahead else None
    yield {"kind": "model"} | about(call.engine, name)


def surprise(call: Call) -> Iterator[Event | None]:
    """A random caption, of the words that the model knows."""
    vocabulary = call.engine.opened(call.request().model).vocabulary
    if vocabulary is not None:
        yield {"kind": "prompt", "text": vocabulary.surprise(random.randrange(2**32))}


def inert(engine: Engine, request: Request, chosen: Chosen) -> dict[str, str]:
    """Why a method does nothing with these settings, by its key; only of those that do nothing."""
    drawing = drawing_of(request, chosen, engine.opened(request.model))
    reasons = {key: method.inert(request.methods[key], drawing) for key, method in METHODS.items()}
    return {key: reason for key, reason in reasons.items() if reason}


def file_name(request: Request, picture: Picture) -> str:
    """A name for a download: fox-snow_s7_reweighted_0.9-1.5.png."""
    about = f"_{request.reweighting.low:g}-{request.reweighting.high:g}" if picture.weights is not None else ""
    painted = "_painted" if picture.weights is not None and request.reweighting.painted else ""
    return f"{slug(request.prompt)}_s{picture.seed}_{picture.column}{about}{painted}.png"
