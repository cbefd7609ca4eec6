"""The Learn screen: a list of lessons; a lesson itself is a card that floats over whatever screen it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...engine.engine import Waiting
from ...engine.parabola import PICTURES, TIMESTEP
from ...probing.proposition import Parabolas
from ..files import STATIC
from ..lesson_files import SAMPLE, lessons, read_lesson
from ..panels.names import block_name
from ..wording import waiting
from .base import Act, Call, Event, Page, Screen


class Learn(Screen):
    """Lessons in any order; which are done is kept in the browser."""

    key = "learn"
    title = "Learn"
    scripts = (
        STATIC / "parabola.js",
        STATIC / "lesson_acts.js",
        STATIC / "lesson_place.js",
        STATIC / "learn.js",
        STATIC / "class_sheet.js",
        STATIC / "present.js",
    )
    styles = (STATIC / "learn.css", STATIC / "present.css")

    def build(self, page: Page) -> None:
        page.html("""
<div class="rw-card"><p class="rw-lead">Short lessons on the live page: predict first, then look. In any order.
  <span class="rw-soft">For teachers: a plan for 45 minutes is in docs/TEACHING.md, beside the demo’s code.</span></p>
  <div id="lessons"></div>
  <details id="sheet"><summary>Print a sheet for the class</summary><div id="sheet-lessons" role="group" aria-label="Lessons on the sheet"></div>
  <div class="rw-line"><button type="button" class="rw-small-button" id="lesson-sheet">print the sheet</button>
  <button type="button" class="rw-small-button" id="lesson-answers">print the answers</button></div></details>
  <div class="rw-line"><button type="button" class="rw-link" id="lesson-load">load your own lesson (JSON)</button>
  <input type="file" id="lesson-file" accept=".json" hidden><button type="button" class="rw-link" id="lesson-sample" title="A short lesson to change into your own">save a sample to start from</button>
  <button type="button" class="rw-link" id="lesson-forget">clear my progress</button></div></div>
""")

    def acts(self) -> Mapping[str, Act]:
        return {"lessons": listed, "sample": sample, "check": check, "parabola": parabola}


def listed(call: Call) -> Iterator[Event | None]:
    """The lessons that come with the demo."""
    yield {"kind": "lessons", "lessons": list(lessons())}


def sample(call: Call) -> Iterator[Event | None]:
    """A short lesson to change into one's own, as a file."""
    yield {"kind": "file", "name": "my-lesson.json", "text": SAMPLE.read_text(encoding="utf-8")}


def check(call: Call) -> Iterator[Event | None]:
    """A teacher's own lesson. given: `text`."""
    text = call.given.get("text")
    if not isinstance(text, str):
        raise ValueError("A lesson is read from a JSON file.")
    yield {"kind": "lessons", "lessons": [read_lesson(text) | {"key": "own"}]}


def parabola(call: Call) -> Iterator[Event | None]:
    """How wrong the U-Net is by each block's weight, relative to weight 1, and the lowest point of each parabola."""
    request = call.request()
    yield {
        "kind": "status",
        "done": 0,
        "text": f"Drawing {PICTURES} pictures, adding known noise, and measuring the U-Net's error…",
    }
    side = call.engine.side(request)
    names = [block_name(block, side) for block in call.engine.blocks(request.model)]
    for event in call.engine.parabolas(request, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
        if isinstance(event, Parabolas):
            at_one = event.variance[0][:, int(np.argmin(np.abs(event.w - 1)))]
            curves = event.variance[0] / at_one[:, None] - 1  # (m, K)
            bottom, top = (end[0].round(6).tolist() for end in (event.relative_low, event.relative_high))
            yield {
                "kind": "parabola", "w": event.w.tolist(), "curves": curves.round(6).tolist(), "curves_low": bottom,
                "curves_high": top, "names": names, "pictures": PICTURES,
                "minimum": [None if np.isnan(x) else round(float(x), 3) for x in event.minimum[0]],
                "low": [None if np.isnan(x) else round(float(x), 3) for x in event.low[0]],
                "high": [None if np.isnan(x) else round(float(x), 3) for x in event.high[0]],
                "about": f"{PICTURES} pictures that this model drew itself, noise of timestep {TIMESTEP} of 1000",
            }  # fmt: skip
