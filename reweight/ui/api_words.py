"""What each parameter of the public endpoints is, as the API's pages, OpenAPI and MCP clients show it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import Field, fields
from functools import partial
from typing import Any, TypeVar

from gradio.components import Component

from ..engine.request import REWEIGHTED
from ..methods import METHODS
from ..methods.reweighting import Reweighting
from ..methods.settings import limits_of
from ..schedule import CONTROLS

F = TypeVar("F", bound=Callable[..., Any])
ABOUT = {
    "prompt": "What the picture should show: text of 1 to 2000 characters.",
    "model": "A model that this demo serves, such as toy-turbo or toy; null: the first one.",
    "low": "Weight of a block of score 0 (Eq. 7), above 0 and at most `high`; null: the model's default.",
    "high": "Weight of a block of score 1 (Eq. 7), from `low` to 2; null: the model's default.",
    "schedule": (
        "What the weights follow: one of SCHEDULES. null: importance, the paper's probe; the page starts with "
        "calibrated, ours, where the model has such tables."
    ),
    "seed": "Seed of the initial noise, a whole number from 0 to 4294967295; the same seed gives the same picture. null: 42.",
    "steps": "Denoising steps, a whole number from 1 to 50; null: the model's default.",
    "guidance": "Scale of classifier-free guidance, from 0 to 30; 1 and below is none. null: the model's default.",
    "negative_prompt": "What the picture should not show, at most 2000 characters; used where guidance is above 1. null: the model's default.",
    "settings": (
        "Further settings by name, each optional: size (pixels, a multiple of 8), first_step and last_step (counted from 1), "
        "blocks (a list of indices from 0), painted (steps by blocks: a weight from 0 to 2, \"off\" or null), and those of a "
        'method by its key, such as {"freeu": {"b1": 1.2}}. null: none.'
    ),
    "method": 'The method: vanilla, reweighted, freeu or another registered one, or several combined, "reweighted+freeu". null: reweighted.',
    "preset": "How the probe searches: paper-code and paper-text (the paper's probe), or calibrated (ours).",
    "runs": "How many runs of the probe are averaged, a whole number from 1 to 100; more give narrower intervals and take longer.",
    "direct": (
        "Whether to compare the scores with the direct check too: the mean squared change of the U-Net's output at a step when "
        "one block is switched off there. The diagnostics then have bypass_error (steps by blocks), tau_b_bypass (Kendall's "
        "tau-b over the blocks, mean over the steps), tau_b_bypass_per_step and p_bypass (permutation test, two-sided)."
    ),
    "across": 'A setting and its values, such as "low=0.9-1.1 x5", "seed=1-4", "block.3=off, 1" or "column=vanilla, reweighted".',
    "down": "A second setting and its values; empty or null: none.",
    "pictures": "Whether to return each picture too, as PNG in base64.",
    "picture": "The picture, a PNG or JPEG: a file that was uploaded, or by MCP a data: URL.",
}  # fmt: skip
EXAMPLES = {
    "prompt": "a photo of a penguin on a beach", "low": 0.8, "high": 1.4, "schedule": "calibrated", "seed": 7, "steps": 2,
    "guidance": 0, "negative_prompt": "", "settings": {}, "method": "reweighted", "preset": "calibrated", "runs": 15,
    "direct": False, "across": "low=0.6-1 x3", "down": "seed=1-2", "pictures": False,
}  # fmt: skip


def about(name: str) -> str:
    """What a parameter is."""
    return ABOUT[name].replace("SCHEDULES", ", ".join(CONTROLS))


def documented(endpoint: F) -> F:
    """An endpoint with its parameters described in its docstring."""
    names = [name for name in inspect.signature(endpoint).parameters if name != "caller"]
    lines = [f"    {name}: {about(name)}" for name in names]
    endpoint.__doc__ = "\n".join([inspect.getdoc(endpoint) or "", "", "Args:", *lines])
    return endpoint


def described(*components: Component) -> None:
    """Let the API's schema say of each component what its parameter is, with an example that can be sent."""
    for component in components:
        name = str(component.label)
        schema = settings_schema() if name == "settings" else component.api_info()
        words = {"description": about(name), "additional_description": about(name)}
        component.api_info = partial(dict, schema | words)  # type: ignore[method-assign]
        if (example := EXAMPLES.get(name, getattr(component, "value", None))) is not None:
            component.example_payload = partial(deepcopy, example)  # type: ignore[method-assign]


def settings_schema() -> dict[str, Any]:
    """JSON Schema of the `settings` parameter; Gradio's own for JSON is none that validates. What a value may be is said in
    words alone, so that `validate` refuses others with its own sentence."""
    own = {item.name: item for item in fields(Reweighting) if item.name not in ("low", "high", "schedule")}
    properties: dict[str, Any] = {"size": {"description": "side of the picture in pixels, a multiple of 8"}}
    properties |= {name: {"description": _limits(item)} for name, item in own.items()}
    for key in METHODS:
        method = METHODS[key]
        if key != REWEIGHTED and fields(method.settings):
            each = {item.name: {"description": _limits(item)} for item in fields(method.settings)}
            properties[key] = {"description": f"settings of {method.title}", "properties": each}
    return {"type": "object", "properties": properties}


def _limits(item: Field[Any]) -> str:
    limits = limits_of(item)
    between = (
        ""
        if limits.low is None
        else f", from {limits.low:g} to {limits.high:g}"
        if limits.high is not None
        else f", from {limits.low:g}"
    )
    choices = f", one of {', '.join(map(str, limits.choices))}" if limits.choices else ""
    return f"{limits.title}{between}{choices}"
