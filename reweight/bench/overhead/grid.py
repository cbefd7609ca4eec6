"""`python -m reweight bench grid`: the time of a sweep drawn in batches, compared with one picture at a time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    model: Annotated[str, typer.Option(help="A name of the registry.")] = "toy-turbo",
    side: Annotated[int, typer.Option(help="Number of rows and of columns of the grid.")] = 5,
    rounds: Annotated[int, typer.Option(help="Repetitions; medians are reported.")] = 3,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Seconds to the first picture and to the whole grid, and how much time batches save."""
    import numpy as np
    from rich.console import Console

    from ...engine.provenance import current_versions
    from ..stats.result_file import write_json

    found = [measured(model, side) for _ in range(rounds)]
    medians = {name: round(float(np.median([one[name] for one in found])), 3) for name in found[0]}
    Console().print(
        f"{side} x {side} of {model}: first picture {medians['first']:.2f} s, grid {medians['grid']:.2f} s, one by one "
        f"{medians['alone']:.2f} s; processor seconds {medians['grid_cpu']:.2f} and {medians['alone_cpu']:.2f}, ratio "
        f"{medians['grid_cpu'] / medians['alone_cpu']:.2f}",
        highlight=False,
    )
    if out is not None:
        write_json(out, {"model": model, "side": side, "rounds": rounds, "versions": current_versions()} | medians)


def measured(model: str, side: int) -> dict[str, float]:
    """Wall-clock and processor seconds of a grid over low and high, including the vanilla picture."""
    from ...engine.engine import Engine
    from ...engine.points import Cell

    def drawn(together: bool) -> tuple[float, float, float]:
        engine = Engine((model,))
        points = _points(engine, model, side)
        for _ in engine.sweep([_points(engine, model, 1, seed=1)[0]]):  # warm
            pass
        first, began, processor = 0.0, time.perf_counter(), time.process_time()
        for wanted in [points] if together else [[point] for point in points]:
            for event in engine.sweep(wanted):
                if isinstance(event, Cell):
                    first = first or time.perf_counter() - began
        took = first, time.perf_counter() - began, time.process_time() - processor
        engine.close()
        return took

    first, grid, grid_cpu = drawn(True)
    _, alone, alone_cpu = drawn(False)
    return {"first": first, "grid": grid, "grid_cpu": grid_cpu, "alone": alone, "alone_cpu": alone_cpu}


def _points(engine: Any, model: str, side: int, seed: int = 7) -> list[Any]:
    from itertools import product

    import numpy as np

    from ...engine.points import Point
    from ...engine.request import validate
    from ...engine.resolving import EXAMPLES

    card = engine.card(model)
    found = []
    for place in product(range(side), range(side)):
        low, high = np.linspace(0.4, 1, side)[place[0]], np.linspace(1.1, 1.7, side)[place[1]]
        request = validate(card, prompt=EXAMPLES[0], model=model, low=float(low), high=float(high), seed=seed)
        found.append(Point(place, request, "reweighted", engine.chosen(request)))
    return [*found, Point("vanilla", request, "vanilla", found[0].chosen)]
