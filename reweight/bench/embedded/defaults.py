"""`python -m reweight bench defaults`: how much low and high change the picture, to choose their default values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PAIRS = ((0.9, 1.1), (0.9, 1.3), (0.9, 1.5), (1.0, 1.5), (1.0, 1.6), (0.7, 1.5), (0.5, 1.5))
DRAG = 0.25  # a typical first move, as a share of a slider's range


def drags(low: float, high: float, slider: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """The (low, high) after each drag from given values, by name. A dragged slider pushes the other so that low <= high."""
    bottom, top = slider
    part = DRAG * (top - bottom)
    down, up = max(bottom, low - part), min(top, high + part)
    return {
        "low a quarter down": (down, high), "low to the bottom": (bottom, high), "low to the top": (top, top),
        "high a quarter up": (low, up), "high to the bottom": (bottom, bottom), "high to the top": (low, top),
    }  # fmt: skip


def command(
    model: Annotated[str, typer.Option(help="A name of the registry.")] = "toy-turbo",
    schedule: Annotated[str, typer.Option(help="The schedule; by default the page's.")] = "",
    prompts: Annotated[int, typer.Option(min=1, help="Number of example prompts.")] = 6,
    pairs: Annotated[str, typer.Option(help="Pairs of low and high, such as 0.9-1.5,1-1.5; by default seven.")] = "",
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """SSIM with vanilla for pairs of low and high, and before against after a drag of either; means over prompts."""
    import numpy as np
    from rich.console import Console

    from ...engine.engine import Engine, Picture
    from ...engine.provenance import current_versions
    from ...engine.request import validate
    from ...engine.resolving import EXAMPLES
    from ...scoring import distance
    from ...ui.controls import SEED, SLIDER, defaults
    from ..stats.result_file import write_json

    engine = Engine((model,))
    card = engine.card(model)
    schedule = schedule or defaults(card)["schedule"]
    examples = EXAMPLES[:prompts]
    asked = [tuple(map(float, pair.split("-"))) for pair in pairs.split(",")] if pairs else PAIRS
    drawn: dict[tuple[str, float, float], object] = {}

    def picture(prompt: str, low: float, high: float):
        if (prompt, low, high) not in drawn:
            request = validate(card, prompt=prompt, model=model, low=low, high=high, schedule=schedule, seed=SEED)
            events = engine.compare(request, engine.chosen(request), ("reweighted",))
            drawn[prompt, low, high] = next(event for event in events if isinstance(event, Picture)).image
        return drawn[prompt, low, high]

    def ssim(one: tuple[float, float], other: tuple[float, float]) -> float:
        found = [distance(picture(prompt, *one), picture(prompt, *other)).ssim for prompt in examples]
        return round(float(np.mean(found)), 3)

    found: dict[str, dict[str, float]] = {}
    for low, high in asked:
        ends = {name: ssim((low, high), end) for name, end in drags(low, high, SLIDER).items()}
        found[f"{low:g}-{high:g}"] = {"vanilla": ssim((low, high), (1, 1))} | ends
        told = ", ".join(f"{name} {value:.3f}" for name, value in found[f"{low:g}-{high:g}"].items())
        Console().print(f"{low:g}-{high:g}: SSIM with {told}", highlight=False)
    engine.close()
    if out is not None:
        about = {
            "model": model, "schedule": schedule, "steps": card.steps, "prompts": list(examples), "seed": SEED, "drag": DRAG,
            "slider": list(SLIDER), "at_first": [card.low, card.high],
        }  # fmt: skip
        write_json(out, about | {"pairs": found, "versions": current_versions()})
