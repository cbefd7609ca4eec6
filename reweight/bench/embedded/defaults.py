"""`python -m reweight bench defaults`: how far low and high move the picture, for choosing where they stand at first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PAIRS = ((0.9, 1.1), (0.9, 1.3), (0.9, 1.5), (0.8, 1.4), (0.7, 1.3), (0.7, 1.5), (0.5, 1.5))
DRAG = 0.25  # of a slider's length: a first move


def command(
    model: Annotated[str, typer.Option(help="A name of the registry.")] = "toy-turbo",
    schedule: Annotated[str, typer.Option(help="What the weights follow; by default what the page has at first.")] = "",
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """SSIM with vanilla at each pair, at the sliders' ends, and of the first drag; means over the example prompts."""
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

    def picture(prompt: str, low: float, high: float, column: str):
        request = validate(card, prompt=prompt, model=model, low=low, high=high, schedule=schedule, seed=SEED)
        return next(
            e for e in engine.compare(request, engine.chosen(request), (column,)) if isinstance(e, Picture)
        ).image

    ends = {"low at its end": (SLIDER[0], card.high), "high at its end": (card.low, SLIDER[1])}
    rows = {f"{low:g}-{high:g}": (low, high) for low, high in PAIRS} | ends
    found: dict[str, dict[str, float]] = {}
    for name, (low, high) in rows.items():
        far, drag = [], []
        for prompt in EXAMPLES:
            vanilla, here = picture(prompt, 1, 1, "vanilla"), picture(prompt, low, high, "reweighted")
            far.append(distance(here, vanilla).ssim)
            moved = max(SLIDER[0], low - DRAG * (SLIDER[1] - SLIDER[0]))
            drag.append(distance(picture(prompt, moved, high, "reweighted"), here).ssim)
        found[name] = {"ssim": round(float(np.mean(far)), 3), "drag_ssim": round(float(np.mean(drag)), 3)}
        Console().print(
            f"{name:>18}  SSIM with vanilla {found[name]['ssim']:.3f}, of a first drag {found[name]['drag_ssim']:.3f}",
            highlight=False,
        )
    engine.close()
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "model": model,
            "schedule": schedule,
            "prompts": list(EXAMPLES),
            "seed": SEED,
            "drag": DRAG,
            "slider": list(SLIDER),
        }
        write_json(out, about | {"pairs": found, "versions": current_versions()})
