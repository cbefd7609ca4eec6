"""The Edit screen: a picture of one's own, drawn anew in part by the same columns of methods."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

from ...engine.drawing import Start
from ...engine.edited import edited_png
from ...engine.engine import Picture, Step, Waiting
from ...engine.events import INVERSION
from ...engine.naming import cell_name
from ...engine.provenance import settings_of
from ...engine.request import RequestError
from ...methods import columns
from ...scoring import distance
from ..files import STATIC
from ..wording import caption, change, waiting
from .base import Act, Call, Event, Page, Screen

MOST_BYTES = 1_800_000
MOST_TEXT = 2000


class Edit(Screen):
    """Image to image: how much of a picture is drawn anew, and which steps that takes."""

    key = "edit"
    title = "Edit"
    scripts = (STATIC / "edit.js",)
    styles = (STATIC / "edit.css",)

    def build(self, page: Page) -> None:
        page.html("""
<div class="rw-card"><p class="rw-lead">Start from a picture instead of pure noise (image to image). The prompt says what it should become.</p>
  <div class="rw-line" data-takes-pictures="edit" id="edit-drop"><button type="button" id="edit-choose">Choose a picture</button>
  <input type="file" id="edit-file" accept="image/png,image/jpeg,image/webp" hidden>
  <button type="button" id="edit-vanilla">use the vanilla picture</button><span class="rw-note">or drop one here. It is cropped to a square in your browser.</span></div>
  <div class="rw-slider" id="edit-strength"><label for="edit-strength-range">Strength: how much may change</label>
  <output id="edit-strength-says">0.60</output><input type="range" id="edit-strength-range" min="0.05" max="1" step="0.05" value="0.6"></div>
  <div class="rw-line"><label class="rw-check"><input type="checkbox" id="edit-invert">DDIM inversion: start from the noise that reproduces your picture</label>
  <span class="rw-note" id="edit-no-invert" hidden>This model has no DDIM scheduler: choose toy, for example.</span>
  <input type="text" id="edit-described" maxlength="2000" placeholder="what your picture shows" aria-label="What your picture shows" hidden></div>
  <p class="rw-note">A PNG saved here contains your picture too: drop it on the page to restore everything.</p>
  <div class="rw-line"><button type="button" class="rw-primary" id="edit-draw" disabled>Draw</button><span id="edit-steps" class="rw-note" aria-live="polite"></span></div></div>
<div class="rw-card" id="edit-result" hidden><div class="rw-pictures" id="edit-pictures"></div></div>
<div class="rw-slot"></div>
""")

    def acts(self) -> Mapping[str, Act]:
        return {"draw": draw}


def picture_in(given: Mapping[str, Any], size: int) -> Image.Image:
    """The picture that was sent, in RGB at a size. RequestError of one sentence for what is none."""
    text = given.get("picture")
    if not isinstance(text, str) or not text:
        raise RequestError("There is no picture yet: choose one.")
    try:
        data = base64.b64decode(text, validate=True)
        if len(data) > MOST_BYTES:
            raise RequestError("The picture is too large: choose a smaller one.")
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if max(image.size) > 2048 or min(image.size) < 16:
            raise RequestError("The picture must be 16 to 2048 pixels wide and high.")
        return image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    except RequestError:
        raise
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RequestError("This picture cannot be read: choose a PNG or a JPEG.") from error


def draw(call: Call) -> Iterator[Event | None]:
    """The picture drawn anew by every column. given: `picture`, base64; `strength`; `described`, what it shows, to invert it."""
    request, strength = call.request(), call.given.get("strength")
    if type(strength) not in (int, float) or not 0 < strength <= 1:
        raise RequestError("The strength must be a number above 0 and at most 1.")
    described = call.given.get("described")
    if described is not None and (not isinstance(described, str) or len(described) > MOST_TEXT):
        raise RequestError(f"What your picture shows is a text of at most {MOST_TEXT} letters.")
    start = Start(picture_in(call.given, request.size), float(strength), described)
    running = start.running(request.steps)
    yield {
        "kind": "start", "first": running[0], "last": running[-1], "steps": request.steps,
        "columns": [{"key": column, "title": columns.title(column)} for column in request.columns],
    }  # fmt: skip
    order = sorted(request.columns, key=lambda column: column != "vanilla")  # what the others are measured against
    loaded = call.engine.opened(request.model)
    vanilla: Image.Image | None = None
    for event in call.engine.edit(request, call.chosen(request), start, order, client=call.client):
        if isinstance(event, Waiting):
            yield waiting(event)
        elif isinstance(event, Step) and event.column == INVERSION:
            text = f"Inverting your picture: step {event.step} of {event.steps}"
            yield {"kind": "status", "done": event.step / event.steps, "text": text}
        elif isinstance(event, Step):
            yield {
                "kind": "status",
                "done": event.step / event.steps,
                "text": f"{columns.title(event.column)}: step {running[event.step - 1]} of {request.steps}",
            }
        elif isinstance(event, Picture):
            vanilla = event.image if event.column == "vanilla" else vanilla
            told: Event = {
                "kind": "picture", "column": event.column, "caption": caption(event, request),
                "png": base64.b64encode(edited_png(
                    event.image, settings_of(request, loaded, event.column, event.weights), strength, start.image, described
                )).decode(),
                "name": cell_name(request.prompt, request.seed, event.column, {"inverted" if described is not None else "strength": float(strength)}),
                "original": change(distance(event.image, start.image)),
            }  # fmt: skip
            if vanilla is not None and event.column != "vanilla":
                told["vanilla"] = change(distance(event.image, vanilla))
            yield told
