"""The Ablate screen: the picture with each block switched off, at every step and at each single one; and pruning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from ...engine.engine import Batch, Step, Waiting
from ...engine.request import REWEIGHTED, Request
from ...engine.resolving import CALIBRATED, EMPIRICAL, Chosen, choose, places_of
from ...probing.ablation import without
from ...scoring import difference_map, distance
from ..examples import data_url
from ..files import STATIC
from ..pace import CHEAP, about_seconds, evaluations
from ..panels.names import block_name
from ..panels.scatter import scatter
from ..wording import change, waiting
from .base import Act, Call, Event, Page, Screen

BATCH = 8  # pictures drawn together, after which they are shown
RANKINGS = (CALIBRATED, "importance", EMPIRICAL, "random")  # schedules
TITLES = {"probe:calibrated": "calibrated (ours)", "probe:paper-code": "paper's", EMPIRICAL: "static"}  # of methods


class Ablate(Screen):
    """What does each block do? The picture without it."""

    key = "ablate"
    title = "Ablate"
    scripts = (STATIC / "ablate.js",)
    styles = (STATIC / "ablate.css",)

    def build(self, page: Page) -> None:
        page.html("""
<div class="rw-card"><div class="rw-line rw-tools-line"><h3>What does each block do? The picture without it.</h3>
  <span id="ablate-view" role="radiogroup" aria-label="What the cells show"><label class="rw-seg"><input type="radio" name="rw-ablate" value="picture" checked><span>pictures</span></label><label class="rw-seg"><input type="radio" name="rw-ablate" value="difference"><span>differences</span></label></span></div>
  <div class="rw-line rw-ablate-begin"><button type="button" id="ablate">Switch every block off, one by one</button> <span class="rw-note" id="ablate-cost"></span></div>
  <div class="rw-ablate"><div><div class="rw-scroll"><div id="ablations" role="group" aria-label="The picture without each block"></div></div>
  <p class="rw-note">The numbers are SSIM with the vanilla picture: 1.00 means identical. The lower, the more the block does.</p></div>
  <div class="rw-beside" id="ablate-large"><figure><img alt="" id="ablate-vanilla"><figcaption>with every block</figcaption></figure>
  <figure><img alt="" id="ablate-one"><figcaption id="ablate-says">Point at a small picture to enlarge it. A click switches that block off in the U-Net below.</figcaption></figure></div></div></div>
<div class="rw-slot"></div>
<details class="rw-card" id="prune"><summary>Prune: leave out the k least important blocks</summary>
  <p class="rw-soft">At every step the k least important blocks are switched off, according to four rankings. Fidelity is the SSIM with the vanilla picture; time is measured here. Each point is one picture.</p>
  <div class="rw-line"><button type="button" id="prune-start">Measure</button></div><div id="prune-chart"></div></details>
""")

    def acts(self) -> Mapping[str, Act]:
        return {"plan": plan, "grid": grid, "prune": prune}


def plan(call: Call) -> Iterator[Event | None]:
    """The grid's names, what filling it takes in words, and whether that is little enough to begin unasked."""
    request = call.request()
    blocks, side = call.engine.blocks(request.model), call.engine.side(request)
    off, which = without(request.steps, len(blocks))
    yield {
        "kind": "layout", "names": [block_name(block, side) for block in blocks], "steps": request.steps,
        "cheap": evaluations(request, len(off)) <= CHEAP,
        "cost": f"{len(which)} pictures of {request.steps} step{'s' * (request.steps > 1)}{about_seconds(call, len(off) * request.steps)}.",
    }  # fmt: skip


def grid(call: Call) -> Iterator[Event | None]:
    """The picture without each block, batch by batch."""
    request = call.request()
    off, which = without(request.steps, len(call.engine.blocks(request.model)))
    whole: Image.Image | None = None
    batches, done = None, 0
    for event in call.engine.batches(request, np.ones(off.shape), off, together=BATCH, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
        elif isinstance(event, Step):
            yield {
                "kind": "status",
                "done": (done + event.step / event.steps * (batches or 1)) / len(off),
                "text": f"Without each block: {done} of {len(off) - 1} pictures",
            }
        elif isinstance(event, Batch):
            done, batches = event.first + len(event.images), len(event.images)
            for n, image in enumerate(event.images, event.first):
                whole = whole or image
                if n == 0:
                    yield {"kind": "whole", "picture": data_url(image)}
                    continue
                i, t = which[n - 1]
                yield {
                    "kind": "without", "block": i, "step": t, "picture": data_url(image),
                    "difference": data_url(difference_map(image, whole)), "far": change(distance(image, whole)),
                }  # fmt: skip


def prune(call: Call) -> Iterator[Event | None]:
    """Fidelity and time without the k least important blocks, by several rankings."""
    request = call.request()
    blocks = call.engine.blocks(request.model)
    m = len(blocks)
    whole: Image.Image | None = None
    points: dict[str, list[tuple[float, float, int]]] = {}
    jobs = [("", 0, np.zeros((request.steps, m), bool))]
    for title, scores in rankings(call, request).items():
        order = scores.argsort(axis=1, kind="stable")  # least important first
        for k in range(1, m):
            off = np.zeros((request.steps, m), bool)
            np.put_along_axis(off, order[:, :k], True, axis=1)
            jobs.append((title, k, off))
    bypass = np.stack([off for _, _, off in jobs])
    seconds: list[float] = []
    for event in call.engine.batches(request, np.ones(bypass.shape), bypass, together=1, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
        if not isinstance(event, Batch):
            continue
        title, k, _ = jobs[event.first]
        seconds.append(event.seconds)
        whole = whole or event.images[0]
        if k:
            saved = 1 - event.seconds / seconds[0]
            points.setdefault(title, []).append((max(saved, 0.0), distance(event.images[0], whole).ssim, k))
        yield {
            "kind": "status",
            "done": (event.first + 1) / len(jobs),
            "text": f"Pruning: {event.first} of {len(jobs) - 1}",
        }
    chart = scatter(points, "time saved (share)", "SSIM with vanilla", "Leaving out the k least important blocks")
    yield {"kind": "chart", "svg": chart}


def rankings(call: Call, request: Request) -> dict[str, np.ndarray]:
    """Scores (T, m) of each ranking by its title, which is that of the method that its scores are of."""
    found = {}
    places = places_of(call.engine.blocks(request.model))
    for key in RANKINGS:
        scheduled = replace(request.reweighting, schedule=key)
        with_key = request.model_copy(update={"methods": request.methods | {REWEIGHTED: scheduled}})
        chosen = ranked(call, with_key)
        title = "random" if key == "random" else TITLES.get(chosen.method, chosen.method.removeprefix("probe:"))
        found[title] = with_key.controlled(chosen.scores, places)
    return found


def ranked(call: Call, request: Request) -> Chosen:
    """The scores of a request's schedule, without any table from a file."""
    loaded, tables = call.engine.opened(request.model), call.session.tables.of(request.prompt)
    return choose(request, call.engine.blocks(request.model), tables, revision=loaded.revision)
