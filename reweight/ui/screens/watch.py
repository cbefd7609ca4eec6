"""The Watch screen: what each column takes the clean picture to be, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...engine.engine import Step, Waiting, Watched
from ...methods import columns
from ..examples import data_url
from ..files import STATIC
from ..wording import waiting
from .base import Act, Call, Event, Page, Screen


class Watch(Screen):
    """Play, pause and scrub over the steps; the U-Net is coloured for the step that is shown."""

    key = "watch"
    title = "Watch"
    scripts = (STATIC / "watch.js",)

    def build(self, page: Page) -> None:
        page.html("""
<div class="rw-card"><div class="rw-line rw-tools-line"><b>The clean picture (x₀) that the model predicts at each step.</b>
  <label class="rw-check"><input type="checkbox" id="watch-noisy">show the noisy latent instead</label></div>
  <div id="films" class="rw-pictures"></div>
  <div class="rw-line"><button type="button" id="watch-play" aria-pressed="false">Play</button>
  <input type="range" id="watch-step" min="1" max="2" value="1" step="1" aria-label="Step"><output id="watch-says"></output></div>
  <p class="rw-note" id="watch-drawn" aria-live="polite"></p></div>
<div class="rw-slot"></div>
""")

    def acts(self) -> Mapping[str, Act]:
        return {"film": film}


def film(call: Call) -> Iterator[Event | None]:
    """The predicted pictures of each column, of the drawing that Compare shows as long as its film is kept. given: `noisy`."""
    request = call.request()
    noisy = call.given.get("noisy") is True
    total, done = len(request.columns) * request.steps, 0
    yield {
        "kind": "films",
        "columns": [{"key": key, "title": columns.title(key)} for key in request.columns],
        "steps": request.steps,
    }
    for event in call.engine.watch(request, call.chosen(request), request.columns, noisy=noisy, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
        elif isinstance(event, Step):
            done += 1
            yield {
                "kind": "status",
                "done": done / total,
                "text": f"{columns.title(event.column)}: step {event.step} of {event.steps}",
            }
        elif isinstance(event, Watched):
            yield {
                "kind": "film", "column": event.column, "pictures": [data_url(image) for image in event.images],
                "drawn": event.drawn,
            }  # fmt: skip
