"""The address of the page: `?prompt=…&low=…` brings settings back; every setting that is not the model's default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ..engine.request import RequestError, validate
from ..methods.reweighting import OFF
from ..models.registry import ModelCard
from .controls import defaults

ALWAYS = ("prompt", "model")


def query_of(settings: Mapping[str, Any], card: ModelCard) -> str:
    """A page's settings as an address's query. Settings of a method are `freeu.b1=1.2`; painted cells are compact."""
    usual, flat = _flat(defaults(card)), _flat(settings)
    usual["last_step"] = flat.get("steps")
    if "painted" in flat:
        flat["painted"] = cells_text(flat["painted"])
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in flat.items()
    }
    keep = {
        name: texts[name]
        for name, value in flat.items()
        if value is not None and (name in ALWAYS or (name in usual and not _same(value, usual[name])))
    }
    return urlencode(keep)


def settings_in(query: Mapping[str, str], card: ModelCard) -> dict[str, Any]:
    """The settings in an address over a model's defaults. What cannot be used is left out, each by itself."""
    usual = defaults(card)
    found: dict[str, Any] = {}
    for name, text in query.items():
        try:
            found[name] = (
                text
                if name in ("prompt", "negative_prompt", "schedule")
                else cells(text)
                if name == "painted"
                else json.loads(text)
            )
        except (ValueError, RecursionError):
            continue
    steps = found.get("steps")
    if "last_step" not in found and type(steps) is int:
        found["last_step"] = steps
    good = usual | {"prompt": ""}
    order = sorted(found, key=lambda name: (name not in ("steps", "high"), name))
    together = [
        {name: found[name] for name in ("low", "high") if name in found},
        {name: found[name] for name in ("steps", "last_step") if name in found},
    ]
    for change in [*together, *({name: found[name]} for name in order)]:
        tried = _merged(good, change, card)
        if tried is not None:
            good = tried
    return good


def cells_text(cells: Any) -> str | None:
    """Painted cells as a compact text: steps parted by "_", blocks by "~"; "x" is off, nothing is the schedule's."""
    if not isinstance(cells, (list, tuple)):
        return None
    return "_".join(
        "~".join("" if cell is None else "x" if cell == OFF else f"{cell:g}" for cell in row) for row in cells
    )


def cells(text: str) -> list[list[Any]]:
    """What `cells_text` wrote. ValueError for anything else."""
    return [
        [None if cell == "" else OFF if cell == "x" else float(cell) for cell in row.split("~")]
        for row in text.split("_")
    ]


def _merged(settings: dict[str, Any], change: Mapping[str, Any], card: ModelCard) -> dict[str, Any] | None:
    """Settings with a change, or None where they do not pass then."""
    tried = {name: dict(value) if isinstance(value, dict) else value for name, value in settings.items()}
    for name, value in change.items():
        method, dot, field = name.partition(".")
        if dot and isinstance(tried.get(method), dict) and field in tried[method]:
            tried[method][field] = value
        elif not dot and name in tried and name != "model" and not isinstance(tried[name], dict):
            tried[name] = value
        else:
            return None
    asked = {name: value for name, value in tried.items() if name != "rows"}
    try:
        validate(card, **asked | {"prompt": asked["prompt"] or "any"})
    except (RequestError, TypeError):
        return None
    rows = tried["rows"]
    return tried if type(rows) is int and 1 <= rows <= 4 else None


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= (
            {f"{name}.{field}": one for field, one in value.items()} if isinstance(value, Mapping) else {name: value}
        )
    return flat


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)
