"""The address of the page: `?prompt=…&low=…&high=…` brings settings back. What cannot be used is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.request import RequestError, validate
from ..models.registry import ModelCard

ADDRESS = ("prompt", "model", "low", "high", "seed", "steps", "schedule")
SLIDER = (0.4, 1.6)  # what low and high can be set to on the page


def settings_in(query: Mapping[str, str], card: ModelCard) -> dict[str, Any]:
    """The settings in an address that `validate` takes, each by itself, and low and high together."""
    good: dict[str, Any] = {}
    for name, convert in (("prompt", str), ("seed", int), ("steps", int), ("schedule", str)):
        try:
            asked = {"prompt": "any", name: convert(query[name])}
            good[name] = validate(card, **asked).settings()[name]
        except (KeyError, ValueError):
            continue
    try:
        low, high = (float(query.get(name, getattr(card, name))) for name in ("low", "high"))
        validate(card, prompt="any", low=low, high=high)
    except (RequestError, ValueError):
        return good
    if SLIDER[0] <= low <= high <= SLIDER[1]:
        good |= {"low": low, "high": high}
    return good
