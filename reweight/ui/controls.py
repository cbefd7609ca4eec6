"""The controls beside the results, as HTML: every setting of a Request has one, and each registered method its own."""

from __future__ import annotations

from dataclasses import asdict, fields
from html import escape
from typing import Any, get_type_hints

from ..engine.request import COLUMNS, MAX_COLUMNS, REWEIGHTED
from ..engine.resolving import CALIBRATED, shipped
from ..methods import METHODS, Method
from ..methods.settings import limits_of
from ..models.loading import LoadedModel
from ..models.registry import ModelCard
from ..schedule import CONTROLS
from .examples import examples
from .panels.word_chips import words_panel

SLIDER = (0.05, 2.0)  # what low and high can be set to by their sliders
SEED = 7
COMBINED = (f"{REWEIGHTED}+freeu",)  # offered beside single methods


def defaults(card: ModelCard) -> dict[str, Any]:
    """A model's values for every control but the prompt: what `validate` takes, and rows, how many seeds are drawn."""
    calibrated = any(table.method == f"probe:{CALIBRATED}" for table in shipped(card.key))
    schedule = CALIBRATED if calibrated else "importance"
    return {
        "model": card.key, "seed": SEED, "rows": 1, "negative_prompt": card.negative_prompt, "steps": card.steps,
        "guidance": card.guidance, "size": card.size, "low": card.low, "high": card.high, "schedule": schedule,
        "first_step": 1, "last_step": card.steps, "blocks": None, "painted": None, "columns": list(COLUMNS),
    } | {
        key: asdict(method.settings_for(card.family)) for key, method in adjustable().items()
    }  # fmt: skip


def adjustable() -> dict[str, Method]:
    """The registered methods with settings of their own; re-weighting's stand beside the request's."""
    return {key: method for key, method in METHODS.items() if key != REWEIGHTED and fields(method.settings)}


def controls(models: list[tuple[str, str]], local: bool, loaded: LoadedModel, start: dict[str, Any]) -> str:
    """The column of controls. models: (title, name) pairs; loaded: the model that is chosen at first."""
    card = loaded.card
    return f"""
<form class="rw-card" id="ask" autocomplete="off">
  <label class="rw-label" for="prompt">Prompt</label>
  <div id="prompt-box"><textarea id="prompt" rows="2" maxlength="2000" data-setting="prompt" enterkeyhint="go" aria-describedby="unknown"
    placeholder="What should be in the picture?"></textarea></div>
  <div id="examples" role="group" aria-label="Examples">{examples(card.key)}</div>
  <div id="words">{words_panel(loaded)}</div>
  <div class="rw-line"><button type="button" class="rw-link" id="surprise"{"" if loaded.vocabulary else " hidden"}>surprise me</button></div>
</form>
<div class="rw-card" id="weights" title="weight = low + (high − low) × importance">
  {_slider("high", "high", *SLIDER, 0.01, start["high"], "weight where importance is 1")}
  {_slider("low", "low", *SLIDER, 0.01, start["low"], "weight where importance is 0")}
  {_row("Weights", _select("schedule", [(control.title, key) for key, control in CONTROLS.items()], start["schedule"], "schedule"))}
  {_row("Seed", _number("seed", 0, 2**32 - 1, 1, start["seed"]) + '<button type="button" id="dice" class="rw-small-button" title="a random seed">dice</button>', "seed")}
  <p class="rw-inert" id="seed-note" aria-live="polite"></p>
  {_row("Model", _models(models, local, card.key), "model")}
  <div class="rw-line rw-buttons"><button type="button" id="generate" class="rw-primary">Draw</button><button type="button" id="stop">Stop</button></div>
  <p class="rw-unknown" id="unknown" aria-live="polite"></p>
  <details id="more"><summary>More</summary>{_more(card, start)}</details>
</div>
"""


def _more(card: ModelCard, start: dict[str, Any]) -> str:
    offered = [*METHODS, *COMBINED]
    columns = "".join(
        f'<label class="rw-check"><input type="checkbox" data-column="{key}"{" checked" if key in start["columns"] else ""}>'
        f"{escape(' + '.join(METHODS[part].title for part in key.split('+')))}</label>"
        for key in offered
    )
    text = (
        f'<fieldset id="columns" data-most="{MAX_COLUMNS}"><legend>Columns</legend>{columns}</fieldset>'
        + _slider("rows", "Number of seeds, a row each", 1, 4, 1, 1)
        + _slider("steps", "Steps", 1, card.max_steps, 1, start["steps"])
        + _slider("guidance", "Guidance", 0, 15, 0.1, start["guidance"])
        + f'<label class="rw-label" for="negative">Negative prompt</label><input id="negative" type="text" maxlength="2000" data-setting="negative_prompt" value="{escape(start["negative_prompt"])}">'
        + _slider("first_step", "Re-weight from step", 1, card.max_steps, 1, 1)
        + _slider("last_step", "to step", 1, card.max_steps, 1, start["last_step"])
        + '<fieldset id="blocks"><legend>Re-weighted blocks</legend></fieldset>'
        + _slider("size", "Size in pixels", 64, card.max_size, 8, start["size"])
        + '<label class="rw-check"><input type="checkbox" id="live" checked>Draw while sliding and painting</label>'
    )
    for key, method in adjustable().items():
        text += _method(key, method, start[key])
    return text + '<div class="rw-line"><button type="button" id="reset">Back to this model’s defaults</button></div>'


def _method(key: str, method: Method, values: dict[str, Any]) -> str:
    """The settings of any registered method, from the limits that its fields declare."""
    hints = get_type_hints(method.settings)
    rows = []
    for item in fields(method.settings):
        limits, kind, name, value = limits_of(item), hints[item.name], f"{key}.{item.name}", values[item.name]
        if limits.choices:
            rows.append(_row(limits.title, _select(name, [(str(c), c) for c in limits.choices], value, name), name))
        elif kind is bool:
            checked = " checked" if value else ""
            rows.append(
                f'<label class="rw-check"><input type="checkbox" data-setting="{name}"{checked}>{escape(limits.title)}</label>'
            )
        elif kind in (int, float) and limits.low is not None and limits.high is not None:
            step = limits.step or (1 if kind is int else 0.01)
            rows.append(_slider(name, limits.title, limits.low, limits.high, step, value))
    inside = "".join(rows)
    return (
        f'<details class="rw-method" data-method="{key}"><summary>{escape(method.title)}</summary>'
        f'<p class="rw-inert"></p>{inside}</details>'
    )


def _slider(name: str, title: str, low: float, high: float, step: float, value: Any, hint: str = "") -> str:
    ident = name.replace("_", "-").replace(".", "-")
    about = f'<span class="rw-soft">{escape(hint)}</span>' if hint else ""
    limits = f'min="{low:g}" max="{high:g}" step="{step:g}" value="{value}" data-setting="{name}"'
    return (
        f'<div class="rw-slider" id="{ident}"><label class="rw-label" for="{ident}-range">{escape(title)} {about}</label>'
        f'<input type="number" {limits} aria-label="{escape(title)}" inputmode="decimal">'
        f'<input type="range" id="{ident}-range" {limits}></div>'
    )


def _number(name: str, low: float, high: float, step: float, value: Any) -> str:
    return f'<input type="number" id="{name}-number" min="{low}" max="{high}" step="{step}" value="{value}" data-setting="{name}">'


def _select(name: str, choices: list[tuple[str, Any]], value: Any, ident: str) -> str:
    options = "".join(
        f'<option value="{escape(str(key))}" title="{escape(title)}"{" selected" if key == value else ""}>'
        f"{escape(title.partition(' (')[0])}</option>"
        for title, key in choices
    )
    return f'<select id="{ident.replace(".", "-")}-select" data-setting="{name}">{options}</select>'


def _models(models: list[tuple[str, str]], local: bool, value: str) -> str:
    if not local:
        return _select("model", models, value, "model")
    options = "".join(f'<option value="{escape(name)}">{escape(title)}</option>' for title, name in models)
    return (
        f'<input type="text" id="model-select" data-setting="model" list="models" value="{escape(value)}" title="a name, a folder, '
        f'or owner/name on the hub"><datalist id="models">{options}</datalist>'
    )


def _row(title: str, inside: str, ident: str = "schedule") -> str:
    ident = ident.replace(".", "-")
    target = f"{ident}-number" if ident == "seed" else f"{ident}-select"
    return f'<div class="rw-row" id="{ident}"><label class="rw-label" for="{target}">{escape(title)}</label><span>{inside}</span></div>'
