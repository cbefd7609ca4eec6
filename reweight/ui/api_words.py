"""What each parameter of the public endpoints is, as the API's pages, OpenAPI and MCP clients show it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
ABOUT = {
    "prompt": "What the picture should show.",
    "model": "A model that this demo serves, such as toy-turbo or toy; by default the first one.",
    "low": "Weight of the least important block, from 0 up to `high`; by default the model's.",
    "high": "Weight of the most important block, at most 2; by default the model's.",
    "schedule": "What the weights follow: importance, calibrated, empirical, flat, inverted, random or tuned.",
    "seed": "Seed of the initial noise, a whole number from 0; the same seed gives the same picture.",
    "steps": "Denoising steps; by default the model's.",
    "guidance": "Classifier-free guidance, 0 to 30; by default the model's.",
    "negative_prompt": "What the picture should not show; used where guidance is above 1.",
    "settings": (
        "Further settings by name: size, first_step, last_step, blocks, painted, and those of a method by its key, "
        'such as {"freeu": {"b1": 1.2}}.'
    ),
    "method": 'The method: vanilla, reweighted, freeu or another registered one, or several combined, "reweighted+freeu".',
    "preset": "How the probe searches: paper-code, paper-text or calibrated.",
    "runs": "How many runs of the probe are averaged, 1 to 100; more give narrower intervals and take longer.",
    "across": 'A setting and its values, such as "low=0.9-1.1 x5", "seed=1-4", "block.3=off, 1" or "column=vanilla, reweighted".',
    "down": "A second setting and its values, or nothing.",
    "pictures": "Whether to return each picture too, as PNG in base64.",
    "picture": "The picture, a PNG or JPEG: a file that was uploaded, or by MCP a data: URL.",
}  # fmt: skip


def documented(endpoint: F) -> F:
    """An endpoint with its parameters described in its docstring."""
    names = [name for name in inspect.signature(endpoint).parameters if name != "caller"]
    lines = [f"    {name}: {ABOUT[name]}" for name in names]
    endpoint.__doc__ = "\n".join([inspect.getdoc(endpoint) or "", "", "Args:", *lines])
    return endpoint


def settings_schema() -> dict[str, Any]:
    """JSON Schema of the `settings` parameter; Gradio's own for JSON is none that validates."""
    return {"type": "object", "description": "settings by name"}
