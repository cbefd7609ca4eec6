"""The History screen: what this session has made, settings brought back, and a picture as a script or a citation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from ...engine.axes import flat
from ...engine.drawing import drawing_of
from ...engine.edited import read_edited
from ...engine.engine import Engine
from ...engine.foreign import read_parameters
from ...engine.provenance import read_png
from ...engine.python_script import python_script
from ...engine.request import REWEIGHTED, Request, RequestError, validate
from ...engine.restoring import with_weights
from ...methods import columns
from ..citing import citations
from ..files import STATIC
from .base import Act, Call, Event, Page, Screen


class History(Screen):
    """Everything that was drawn in this browser tab, newest first; and pictures from elsewhere that bring settings."""

    key = "history"
    title = "History"
    scripts = (STATIC / "history.js",)
    styles = (STATIC / "history.css",)

    def build(self, page: Page) -> None:
        page.html("""
<div class="rw-card"><p class="rw-lead">What you have made since you opened this page. Click a picture to restore its settings.</p>
  <div id="history-strip" role="group" aria-label="Pictures made"></div>
  <p class="rw-note" id="history-empty">Nothing yet: draw a picture.</p></div>
<div class="rw-card" id="history-drop"><p class="rw-lead">Drop a PNG that was saved here anywhere on this page: its exact settings are restored.</p>
  <div class="rw-line"><button type="button" id="history-choose">Choose a picture</button><input type="file" id="history-file" accept="image/png" hidden>
  <span class="rw-note">From other tools' pictures, prompt, seed, steps, guidance and size are read.</span></div></div>
<div class="rw-card"><h3>Share or reproduce this picture</h3>
  <div class="rw-line"><label for="history-column">picture</label> <select id="history-column"></select>
  <button type="button" id="history-script">run this in Python</button><button type="button" id="history-link">copy link</button>
  <button type="button" id="history-cite">cite</button></div>
  <div id="history-text" hidden><pre tabindex="0"></pre><div class="rw-line"><button type="button" id="history-copy">copy</button><span class="rw-note" aria-live="polite" id="history-copied"></span></div></div></div>
""")

    def acts(self) -> Mapping[str, Act]:
        return {"script": script, "restore": restore, "cite": cite}


def script(call: Call) -> Iterator[Event | None]:
    """The Python that draws a picture of the page. given: `column`."""
    request, column = call.request(), call.given.get("column")
    if not isinstance(column, str):
        raise RequestError("Choose a picture.")
    columns.parts(column)
    loaded = call.engine.opened(request.model)
    yield {
        "kind": "text",
        "text": python_script(request, column, drawing_of(request, call.chosen(request), loaded), loaded),
    }


def cite(call: Call) -> Iterator[Event | None]:
    """BibTeX for what the page compares."""
    yield {"kind": "text", "text": citations(list(call.request().columns))}


def restore(call: Call) -> Iterator[Event | None]:
    """The settings of a picture. given: `png`, the picture's text chunks as a PNG in base64; or `text`, another tool's; or
    `edit`, that of an edited picture."""
    text, edit = call.given.get("text"), call.given.get("edit")
    if isinstance(text, str):
        yield from _foreign(call, text)
        return
    if isinstance(edit, str):
        settings, strength, described = read_edited(edit)
        yield _brought(call, settings) | {"edit": {"strength": strength, "described": described}}
        return
    try:
        data = base64.b64decode(call.given.get("png") or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise RequestError("This is not a PNG: choose one that was saved here.") from error
    yield _brought(call, read_png(data))


def _brought(call: Call, settings: Mapping[str, Any]) -> Event:
    """The settings of a picture made here, with its very weights."""
    model = _model(call.engine, settings)
    asked = {name: value for name, value in settings["request"].items() if name not in ("columns", "model")}
    request = validate(call.engine.card(model), **asked, model=model)
    weights, _ = request.reweighting.tables(drawing_of(request, call.chosen(request), call.engine.opened(model)))
    note = ""
    if weights is not None and settings["weights"] is not None and REWEIGHTED in settings["method"].split("+"):
        changed, painted = with_weights({**settings, "request": asked}, request, weights)
        if painted:
            request = validate(call.engine.card(model), **changed, model=model)
            note = " Its importance table is not available here, so its weights are painted."
    return _restored(call, request, model, settings["method"], note)


def _foreign(call: Call, text: str) -> Iterator[Event | None]:
    """Settings of another tool over those of the page; what cannot be used here is left out."""
    found, request, left = read_parameters(text), call.request(), []
    card = call.engine.card(request.model)
    for name, value in found.items():
        raw = flat_settings(request) | {name: value}
        if name == "steps" and raw["last_step"] == request.steps:
            raw["last_step"] = value
        try:
            request = validate(card, **raw)
        except RequestError:
            left.append(name.replace("_", " "))
    note = f" Left out, as this model does not support it: {', '.join(left)}." if left else ""
    yield _restored(call, request, request.model, "vanilla", f" From another tool, whose model and noise differ.{note}")


def flat_settings(request: Request) -> dict[str, Any]:
    """What `validate` takes for the same request."""
    own = {name: value for name, value in flat(request).items() if "." not in name}
    return own | {"methods": {key: value for key, value in request.methods.items() if key != REWEIGHTED}}


def _model(engine: Engine, settings: Mapping[str, Any]) -> str:
    """The name under which this demo has a picture's model. RequestError where it has not."""
    name = settings["request"].get("model")
    for served in engine.models:
        if name in (served, served.rstrip("/").rpartition("/")[2]):
            return served
    if isinstance(name, str) and (engine.is_open(name) or engine.local):
        return name
    raise RequestError(f"The picture is of {str(name)[:60]}, which this demo does not offer: open it in one that does.")


def _restored(call: Call, request: Request, model: str, column: str, note: str) -> Event:
    settings = {name: value for name, value in flat(request).items() if name != "model"}
    try:
        title = columns.title(column)
    except ValueError:
        column, title = "vanilla", "a method that is not installed here"
    return {
        "kind": "restored", "settings": settings, "model": model, "column": column,
        "text": f"Restored: {title}, “{request.prompt[:80]}”, seed {request.seed}.{note}",
    }  # fmt: skip
